"""Chorales from a composer, a note at a time, thousands of chorales at once.

The sampler knows no architecture: it compiles a loop over chords around `initial_state` and `step`
of `rnnray.chorale.model.architectures.Composer`. Except for the notes themselves, its memory does
not grow with the chorales' length.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rnnray.chorale import particles as drafts
from rnnray.chorale import tokens
from rnnray.chorale.chords import QUARTER, VOICE_COUNT
from rnnray.chorale.composing_options import EndingName, RuleName, TemperatureOnName
from rnnray.chorale.critique import end_on_tonic
from rnnray.chorale.model.architectures import Composer
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.rules import Rules
from rnnray.chorale.tokens import NONE
from rnnray.errors import UserError

_DRAFTS = 256  # of all chorales of a batch


class Sampler:
    """Sampler of chorales, in batches of one fixed size.

    Shorter batches are filled up, so that the arithmetic stays the same: a chorale depends on the
    arguments below and its request alone.

    Args:
        composer: the model.
        batch_size: number of chorales in a batch; by default 64, or fewer with particles.
        seed: seed of all random choices.
        rules: penalties of rules in nats; see `rnnray.chorale.rules`.
        temperature_on: choices that temperature and top-p apply to: pitch, the notes that a voice
            may move to, while a note that it may hold keeps its probability; note, all notes.
        particles: number of drafts of each chorale, of which those that fit its given notes
            survive; see `rnnray.chorale.particles`.
        ending: tonic, to take a draft that ends on its tonic if there is one, see
            `rnnray.chorale.critique.end_on_tonic`; any, to take any draft.
    """

    def __init__(
        self,
        composer: Composer,
        *,
        batch_size: int | None = None,
        seed: int = 0,
        rules: Mapping[RuleName, float] = {},
        temperature_on: TemperatureOnName = "pitch",
        particles: int = 1,
        ending: EndingName = "any",
    ) -> None:
        if batch_size is None:
            batch_size = 64 if particles == 1 else max(1, _DRAFTS // particles)
        self._composer, self._batch_size, self._seed = composer, batch_size, seed
        self._rules, self._temperature_on = Rules(rules), temperature_on
        self._particles, self._rows = particles, batch_size * particles
        self._ending = ending
        numbers = tf.TensorSpec([self._rows], tf.float32)
        self._loop = tf.function(
            self._compose,
            input_signature=[
                tf.TensorSpec([None, self._rows], tf.int32),
                tf.TensorSpec([None, self._rows], tf.float32),
                tf.TensorSpec([None, batch_size], tf.float32),
                numbers,
                numbers,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([self._rows], tf.int32),
            ],
            autograph=False,
        )

    def compose(self, requests: Sequence[Request]) -> Iterator[list[Composition]]:
        """Yield the compositions of all requests, in order, a batch at a time."""
        # All chords of a batch share one position in the bar.
        for _, group in groupby(requests, lambda request: request.bar_position):
            same = list(group)
            for start in range(0, len(same), self._batch_size):
                yield self._batch(same[start : start + self._batch_size])

    def _batch(self, requests: Sequence[Request]) -> list[Composition]:
        filled = [*requests, *[requests[-1]] * (self._batch_size - len(requests))]
        longest, particles = max(request.given.size for request in requests), self._particles
        given = np.full((longest, self._batch_size), NONE, np.int32)
        # Those of the notes of each particle, and those by which particles survive.
        uniforms = np.zeros((longest, self._batch_size, particles + 1), np.float32)
        for row, request in enumerate(filled):
            given[: request.given.size, row] = request.given
            for particle in range(particles + 1 if particles > 1 else 1):
                uniforms[:, row, particle] = _uniforms(self._seed, request.index, longest, particle)
        notes, nats, ancestors, weights, evidence = (
            tensor.numpy()
            for tensor in self._loop(
                given.repeat(particles, axis=1),
                uniforms[..., :particles].reshape(longest, self._rows),
                uniforms[..., particles],
                _each(filled, particles, lambda request: request.temperature, np.float32),
                _each(filled, particles, lambda request: request.top_p, np.float32),
                requests[0].bar_position,
                _each(filled, particles, _told_length, np.int32),
            )
        )
        if not np.isfinite(nats).all():
            raise UserError(
                "the composer's probabilities are not finite numbers: its training diverged, "
                "take an earlier checkpoint"
            )
        if particles > 1:
            rows = drafts.lines(ancestors).repeat(VOICE_COUNT, axis=0)
            notes, nats = (np.take_along_axis(array, rows, axis=1) for array in (notes, nats))
            chosen = [
                self._chosen(request, weights[row], notes[:, row * particles :])
                for row, request in enumerate(filled)
            ]
            rows = np.arange(self._batch_size) * particles + chosen
            notes, nats = notes[:, rows], nats[:, rows]
        return [
            Composition(
                tokens.to_chords(notes[: request.given.size, row]),
                nats[: request.given.size, row],
                -float(evidence[row]),
            )
            for row, request in enumerate(requests)
        ]

    def _chosen(
        self,
        request: Request,
        weights: npt.NDArray[np.float32],
        notes: npt.NDArray[np.int32],
    ) -> int:
        """Return the draft of a chorale that is taken, drawn by the weights.

        Args:
            request: the chorale's request.
            weights: logarithms, float32 [particles].
            notes: int32 [at least 4n, at least particles].
        """
        shares = np.exp(weights - weights.max())
        if self._ending == "tonic":
            size, count = request.given.size, len(weights)
            ends = end_on_tonic([tokens.to_chords(draft) for draft in notes[:size, :count].T])
            shares = shares * ends if (shares * ends).any() else shares
        below = shares.cumsum()
        uniform = _uniforms(self._seed, request.index, 1, len(weights) + 1)[0]
        return int((below <= uniform * below[-1]).sum())

    def _compose(
        self,
        given: Any,
        uniforms: Any,
        survival: Any,
        temperature: Any,
        top_p: Any,
        bar_position: Any,
        lengths: Any,
    ) -> Any:
        """Return the loop over chords, a graph.

        Returns:
            notes int32 and nats float32, both [4n, rows]; each row's row in the chord before, int32
            [n, rows]; the particles' last weights, float32 [batch, particles], and the logarithm of
            the given notes' probability, float32 [batch].
        """
        chords = tf.shape(given)[0] // VOICE_COUNT
        shape = [VOICE_COUNT, self._rows]

        def compose_chord(
            number: Any,
            logits: Any,
            state: Any,
            before: Any,
            heard: Any,
            weights: Any,
            evidence: Any,
            notes: Any,
            nats: Any,
            ancestors: Any,
        ) -> Any:
            first, costs, rows = number * VOICE_COUNT, [], tf.range(self._rows)
            before = tf.unstack(before, VOICE_COUNT)
            chosen = tf.unstack(given[first : first + VOICE_COUNT], VOICE_COUNT)
            for voice in range(VOICE_COUNT):
                wanted, known = logits, chosen[voice]
                if self._rules:
                    wanted = self._rules.apply(logits, voice, chosen, before, heard)
                held = before[voice] if self._temperature_on == "pitch" else None
                note = _traced_draw(wanted, uniforms[first + voice], temperature, top_p, held)
                note = tf.where(known == NONE, note, known)
                costs.append(tf.nn.sparse_softmax_cross_entropy_with_logits(note, logits))
                chosen[voice] = note
                cost = tf.where(known == NONE, 0.0, costs[voice])
                weights -= tf.reshape(cost, weights.shape)
                if self._particles > 1:
                    survivors, weights, left_out = drafts.resample(weights, survival[first + voice])
                    evidence += left_out
                    chosen, costs, rows, before, heard, state = self._taken(
                        survivors, (chosen, costs, rows, before, heard, state)
                    )
                logits, state = self._composer.step(state, chosen[voice], voice)
            chord = tf.stack(chosen)
            heard = self._rules.heard(heard, chord) if self._rules else heard
            return (
                number + 1,
                logits,
                state,
                chord,
                heard,
                weights,
                evidence,
                notes.write(number, chord),
                nats.write(number, tf.stack(costs)),
                ancestors.write(number, rows),
            )

        logits, state = self._composer.initial_state(self._rows, bar_position, lengths)
        *_, weights, evidence, notes, nats, ancestors = tf.while_loop(
            lambda number, *_: number < chords,
            compose_chord,
            (
                tf.constant(0),
                logits,
                state,
                tf.fill(shape, NONE),
                self._rules.initial_state(self._rows),
                tf.zeros([self._batch_size, self._particles]),
                tf.zeros([self._batch_size]),
                tf.TensorArray(tf.int32, chords, element_shape=shape),
                tf.TensorArray(tf.float32, chords, element_shape=shape),
                tf.TensorArray(tf.int32, chords, element_shape=shape[1:]),
            ),
        )
        return (
            tf.reshape(notes.stack(), [-1, self._rows]),
            tf.reshape(nats.stack(), [-1, self._rows]),
            ancestors.stack(),
            weights,
            evidence + drafts.log_mean(weights),
        )

    def _taken(self, survivors: Any, nest: Any) -> Any:
        """Return the tensors of a nest with the rows of the survivors; scalars stay."""
        own = tf.range(self._rows)
        rows = survivors + tf.range(self._batch_size)[:, None] * self._particles
        rows = tf.reshape(rows, [-1])

        def take(tensor: Any) -> Any:
            return tf.gather(tensor, rows) if tensor.shape.rank else tensor

        return tf.cond(
            tf.reduce_all(rows == own), lambda: nest, lambda: tf.nest.map_structure(take, nest)
        )


def _draw(logits: Any, uniform: Any, temperature: Any, top_p: Any, held: Any) -> Any:
    """Draw a note for each row, int32 [batch]: invert the distribution function at `uniform`.

    This takes one random number a note instead of one a token.

    Args:
        logits: float32 [batch, 47].
        uniform: random numbers from 0 to below 1, float32 [batch].
        temperature: float32 [batch]; 0 for the likeliest note.
        top_p: float32 [batch].
        held: notes [batch] whose probability stays the same, -1 for none; None for none in any row.
    """
    likeliest = tf.argmax(logits, -1, tf.int32)
    if held is None:
        weights = _weights(logits, temperature, top_p)
    else:
        weights = tf.cond(
            tf.reduce_any((temperature != 1) | (top_p < 1)),
            lambda: _moving_weights(logits, temperature, top_p, held),
            lambda: tf.exp(_shifted(logits)),
        )
    below = tf.cumsum(weights, axis=-1)
    drawn = tf.reduce_sum(tf.cast(below <= uniform[:, None] * below[:, -1:], tf.int32), -1)
    return tf.where(temperature > 0, drawn, likeliest)


# Traced once for the four voices: it is a quarter of a chord's graph.
_traced_draw = tf.function(_draw, autograph=False)


def _moving_weights(logits: Any, temperature: Any, top_p: Any, held: Any) -> Any:
    """Return the weights, with temperature and top-p applied to the notes that are not held.

    These keep their joint share, so that notes are held as often as the composer says.
    """
    own = tf.exp(_shifted(logits))
    hold = tf.one_hot(held, logits.shape[-1])
    moving = _weights(tf.where(hold > 0, -np.inf, logits), temperature, top_p)
    share = tf.reduce_sum(own * (1 - hold), -1, keepdims=True)
    moving *= share / tf.reduce_sum(moving, -1, keepdims=True)
    # Rows at temperature 1 and top-p 1 keep the composer's weights to the bit, whatever other rows
    # of the batch ask for.
    plain = (temperature == 1) & (top_p >= 1)
    return tf.where(plain[:, None], own, own * hold + moving)


def _weights(logits: Any, temperature: Any, top_p: Any) -> Any:
    """Return the weight of each note in the draw, float32 [batch, 47]."""
    weights = tf.exp(_shifted(logits) / tf.where(temperature > 0, temperature, 1.0)[:, None])
    return tf.cond(tf.reduce_any(top_p < 1), lambda: _nucleus(weights, top_p), lambda: weights)


def _shifted(logits: Any) -> Any:
    """Return logits whose highest is 0, so that no temperature takes the exponential too high."""
    return logits - tf.reduce_max(logits, -1, keepdims=True)


def _nucleus(weights: Any, top_p: Any) -> Any:
    """Return the weights, with zeros for all but the likeliest notes that add up to `top_p`."""
    ordered = tf.sort(weights, axis=-1, direction="DESCENDING")
    before = tf.cumsum(ordered, axis=-1, exclusive=True)
    share = tf.maximum(top_p, np.finfo(np.float32).tiny)[:, None]
    # 1 keeps all, whatever the rounding of the sums.
    kept = (before < share * tf.reduce_sum(weights, -1, keepdims=True)) | (share >= 1)
    least = tf.reduce_min(tf.where(kept, ordered, weights.dtype.max), -1, keepdims=True)
    return tf.where(weights >= least, weights, 0.0)


def _told_length(request: Request) -> int:
    """Return the length in chords that the composer is told: up to the end of the last quarter.

    All pieces that it knows end with a full quarter. A chorale that ends earlier ends while its
    last notes are held.
    """
    chords = request.given.size // VOICE_COUNT
    return chords + -(request.bar_position + chords) % QUARTER


def _each(
    requests: Sequence[Request], particles: int, value: Callable[[Request], float], dtype: Any
) -> npt.NDArray[Any]:
    """Return a number of each request, once for each of its particles."""
    return np.array(list(map(value, requests)), dtype).repeat(particles)


def _uniforms(seed: int, index: int, count: int, stream: int) -> npt.NDArray[np.float32]:
    """Return a chorale's random numbers, from 0 to below 1; `count` does not change the first ones.

    They have 23 bits, so that in float32 their product with a sum stays below the sum. No two
    streams of a chorale overlap.
    """
    bits = np.random.Generator(np.random.Philox(key=[seed, index]).jumped(stream)).integers(
        2**23, size=count, dtype=np.uint32
    )
    return (bits / np.float32(2**23)).astype(np.float32)
