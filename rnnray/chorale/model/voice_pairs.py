"""The intervals between voices, in the chord before and now, and the voices' motion.

In intervals, a rule is the same in all keys and at all pitches: the rule against parallel fifths is
learned once, not for each pair of notes. The layer uses Keras alone.
"""

from typing import Any

from keras import layers, ops

from rnnray.chorale.chords import VOICES
from rnnray.chorale.tokens import TOKENS

_V = len(VOICES)
_OCTAVE = 12
# Unison, 1 to 12 semitones (larger intervals less octaves), and none where a voice is silent.
_CLASSES = _OCTAVE + 2
_NO_INTERVAL = _CLASSES - 1
_FARTHEST = 7  # semitones; larger moves count as this
_MOTIONS = 2 * _FARTHEST + 1
_DIRECTIONS = 3
_INTERVALS = 2 * TOKENS - 1
# The pairs of voices, by the lower voice, so that the pairs among the voices above one come first.
_PAIRS = [(upper, lower) for lower in range(_V) for upper in range(lower)]
_UPPER, _LOWER = ([pair[which] for pair in _PAIRS] for which in (0, 1))


class VoicePairs(layers.Layer):  # type: ignore[misc]
    """Embedding of the intervals between voices, and their part in the voices' heads.

    Args:
        width: width of a chord's embedding.
        units: width of a head's hidden layer.
    """

    def __init__(self, width: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.units = width, units
        self.chord = layers.Embedding(len(_PAIRS) * _CLASSES, width)
        self.moves = layers.Embedding(len(_PAIRS) * _CLASSES * _MOTIONS, units)
        self.above = layers.Embedding(len(_PAIRS) * _CLASSES, units)
        self.steps = layers.Embedding(
            len(_PAIRS) * _CLASSES**2 * _DIRECTIONS**2, 1, "zeros", dtype="float32"
        )
        self.below = [
            layers.Dense(voice * _INTERVALS, kernel_initializer="zeros", dtype="float32")
            for voice in range(1, _V)
        ]

    def build(self, input_shape: Any = None) -> None:
        """Make the weights; they do not depend on the input's shape."""
        for table in (self.chord, self.moves, self.above, self.steps):
            table.build((None,))
        for layer in self.below:
            layer.build((None, None, self.units))
        self.built = True

    def embed(self, before: Any) -> Any:
        """Embed the intervals in the chord before: tokens int32 [..., 4] -> [..., width]."""
        return self._summed(self.chord, _classes(before, len(_PAIRS)))

    def hear(self, voice: int, chord: Any, before: Any) -> Any:
        """Embed the voices above a voice for its head, [..., units].

        The inputs are the intervals between the voices above now and, for each of them, its
        interval to the voice in the chord before and its motion since then.

        Args:
            voice: 1 to 3.
            chord: tokens int32 [..., 4], of which only the voices above `voice` are used.
            before: tokens int32 [..., 4] of the chord before.
        """
        first, end = _pairs_above(voice), _pairs_above(voice + 1)
        upper, lower = before[..., :voice], before[..., voice, None]
        now = chord[..., :voice]
        known = ops.logical_and(_sounds(now), _sounds(upper))
        interval = _class(upper, lower, known)
        motion = ops.where(known, ops.clip(now - upper, -_FARTHEST, _FARTHEST), 0) + _FARTHEST
        index = (ops.arange(first, end) * _CLASSES + interval) * _MOTIONS + motion
        x = ops.sum(self.moves(index), axis=-2)
        return x if voice == 1 else x + self._summed(self.above, _classes(chord, first))

    def logits(self, voice: int, hidden: Any, chord: Any, before: Any) -> Any:
        """Return the logits [..., 47] of a voice's notes by their intervals to the voices above.

        They are a sum of two: one of the interval, with weights from the head; one of the step from
        the interval before to this one and the voices' directions, with weights from a table.

        Args:
            voice: 1 to 3.
            hidden: hidden layer of the voice's head, [..., units].
            chord: as in `hear`.
            before: as in `hear`.
        """
        now, upper = chord[..., :voice, None], before[..., :voice, None]
        lower = before[..., voice, None, None]
        notes = ops.arange(TOKENS)
        index = ops.clip(now - notes, 1 - TOKENS, TOKENS - 1) + TOKENS - 1
        each = self.below[voice - 1](hidden)
        each = ops.reshape(each, (-1, *each.shape[1:-1], voice, _INTERVALS))
        each = ops.take_along_axis(each, index, axis=-1)
        each = ops.sum(each * ops.cast(_sounds(now), each.dtype), axis=-2)
        pairs = ops.arange(_pairs_above(voice), _pairs_above(voice + 1))[:, None]
        step = (pairs * _CLASSES + _class(upper, lower, True)) * _CLASSES + _class(now, notes, True)
        for after, earlier in ((now, upper), (notes, lower)):
            known = ops.logical_and(_sounds(after), _sounds(earlier))
            step = step * _DIRECTIONS + ops.where(known, ops.sign(after - earlier), 0) + 1
        return each + ops.sum(self.steps(step)[..., 0], axis=-2)

    def _summed(self, table: Any, classes: Any) -> Any:
        """Sum a table's rows for the first pairs' classes: [..., pairs] -> [..., width]."""
        return ops.sum(table(classes + _CLASSES * ops.arange(classes.shape[-1])), axis=-2)


def _pairs_above(voice: int) -> int:
    """Return the number of pairs among the voices above a voice, the first ones of `_PAIRS`."""
    return voice * (voice - 1) // 2


def _classes(chord: Any, pairs: int) -> Any:
    """Return the intervals of the first pairs in a chord, int32 [..., pairs]."""
    upper = ops.take(chord, _UPPER[:pairs], axis=-1)
    return _class(upper, ops.take(chord, _LOWER[:pairs], axis=-1), True)


def _class(upper: Any, lower: Any, known: Any) -> Any:
    semitones = upper - lower
    some = ops.where(ops.equal(semitones, 0), 0, (semitones - 1) % _OCTAVE + 1)
    known = ops.logical_and(known, ops.logical_and(_sounds(upper), _sounds(lower)))
    return ops.where(known, some, _NO_INTERVAL)


def _sounds(tokens: Any) -> Any:
    """Return whether tokens are pitches: neither silence nor the start before the first chord."""
    return ops.logical_and(tokens > 0, tokens < TOKENS)
