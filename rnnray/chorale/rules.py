"""Rules of voice leading while composing, as penalties for the notes that break them.

The rules are those of the critique (`rnnray.chorale.critique`, after Kostka and Payne, "Tonal
Harmony"). They judge a note before it is written, against the chord before and against the known
voices of its own chord, composed or given. Keras operations alone compute them for all notes and
all chorales of a batch at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from rnnray.chorale.chords import LOWEST_PITCH, VOICE_COUNT
from rnnray.chorale.composing_options import RuleName
from rnnray.chorale.critique import FIFTH, HIGHEST, LOWEST, OCTAVE, STEP
from rnnray.chorale.harmony import CLASSES, KEY_PROFILES
from rnnray.chorale.tokens import TOKENS

_SOPRANO, _BASS = 0, VOICE_COUNT - 1
_SPACED = 3  # soprano, alto and tenor; the bass may be further away
# A chorale's key changes with its phrases: a chord counts half as much two bars later.
_MEMORY = 0.5 ** (1 / 32)
# Pitch class of each token; any for silence.
_CLASS = (np.arange(TOKENS) - 1 + LOWEST_PITCH) % CLASSES


class Rules:
    """Rules and their penalties.

    Args:
        nats: penalty of each rule, in nats, subtracted from the logit of a note that breaks it,
            once for each voice against which the note breaks it.
    """

    def __init__(self, nats: Mapping[RuleName, float]) -> None:
        self._nats = {name: weight for name, weight in nats.items() if weight > 0}

    def __bool__(self) -> bool:
        """Return whether there is any rule."""
        return bool(self._nats)

    def initial_state(self, batch: int) -> Any:
        """Return the state before the first chord, no pitch class heard: float32 [batch, 12]."""
        return ops.zeros((batch, CLASSES))

    def heard(self, state: Any, chord: Any) -> Any:
        """Return the state after a chord, tokens int32 [4, batch]; older chords fade."""
        return _MEMORY * state + ops.sum(_classes(chord), axis=0)

    def apply(self, logits: Any, voice: int, chord: Sequence[Any], before: Any, state: Any) -> Any:
        """Return the logits of a voice's notes less their penalties, float32 [batch, 47].

        No note becomes impossible: where all break a rule, those with the least penalty remain.
        Silence breaks no rule; so that it does not become likelier, its share stays the same.

        Args:
            logits: float32 [batch, 47].
            voice: 0 to 3.
            chord: tokens int32 [batch] of each of the four voices, -1 where unknown; the voice's
                own is ignored.
            before: tokens int32 [4, batch] of the chord before, -1 where there is none.
            state: see `heard`.
        """
        costs = self._costs(voice, chord, before, state) * ops.cast(_SOUNDS, "float32")
        after = logits - costs
        lost = ops.logsumexp(logits[:, 1:], axis=-1) - ops.logsumexp(after[:, 1:], axis=-1)
        return ops.concatenate([(logits[:, 0] - lost)[:, None], after[:, 1:]], axis=-1)

    def _costs(self, voice: int, chord: Sequence[Any], before: Any, state: Any) -> Any:
        notes = ops.arange(TOKENS)[None]
        mine = before[voice][:, None]
        moves = (notes - mine) * ops.cast(mine > 0, "int32")
        costs = ops.zeros((1, TOKENS))

        def charge(name: RuleName, broken: Any) -> None:
            nonlocal costs
            if name in self._nats:
                costs = costs + self._nats[name] * ops.cast(broken, "float32")

        charge("ranges", ops.logical_or(notes < _LOWEST[voice], notes > _HIGHEST[voice]))
        if "leading-note" in self._nats:
            charge("leading-note", _doubles_leading_note(voice, chord, state))
        for other in range(VOICE_COUNT):
            if other == voice:
                continue
            # 1 if the other voice should be higher, -1 if lower.
            above = 1 if other < voice else -1
            now, was = chord[other][:, None], before[other][:, None]
            sounds, sounded = now > 0, was > 0
            charge("crossing", _all(sounds, above * (notes - now) > 0))
            if abs(other - voice) == 1:
                beyond = above * (notes - was) > 0
                charge("overlap", _all(sounded, beyond, ops.not_equal(moves, 0)))
                if max(other, voice) < _SPACED:
                    charge("spacing", _all(sounds, above * (now - notes) > OCTAVE))
            motion = (now - was) * ops.cast(_all(sounds, sounded), "int32")
            together = _all(ops.equal(ops.sign(motion), ops.sign(moves)), ops.not_equal(moves, 0))
            interval, last = ops.abs(notes - now) % OCTAVE, ops.abs(mine - was) % OCTAVE
            perfect = _all(together, _any(ops.equal(interval, 0), ops.equal(interval, FIFTH)))
            same = ops.equal(interval, last)
            charge("parallels", _all(perfect, same))
            if {voice, other} == {_SOPRANO, _BASS}:
                soprano = moves if voice == _SOPRANO else motion
                leaps = ops.abs(soprano) > STEP
                charge("hidden", _all(perfect, ops.logical_not(same), leaps))
        return costs


_SOUNDS = np.arange(TOKENS) > 0
_LOWEST, _HIGHEST = ((ends - LOWEST_PITCH + 1).tolist() for ends in (LOWEST, HIGHEST))


def _doubles_leading_note(voice: int, chord: Sequence[Any], state: Any) -> Any:
    """Return whether each note would be the second leading note of its chord: bool [batch, 47].

    Leading notes are that of the last bars' key (`KEY_PROFILES`), and both notes of a tritone in
    the chord: in any key, leading note and seventh of a dominant are a tritone apart.
    """
    there = ops.stack([note for other, note in enumerate(chord) if other != voice])
    counts = ops.sum(_classes(there), axis=0)
    doubled = ops.take(counts, _CLASS, axis=1) > 0
    tritones = ops.take(counts, (_CLASS + CLASSES // 2) % CLASSES, axis=1)
    fits = ops.matmul(state, KEY_PROFILES.astype(np.float32))
    tonic = ops.argmax(ops.maximum(fits[:, :CLASSES], fits[:, CLASSES:]), axis=-1)
    leading = ops.equal((tonic[:, None] + CLASSES - 1) % CLASSES, _CLASS[None])
    leading = _all(leading, ops.sum(state, axis=-1, keepdims=True) > 0)
    return _any(_all(doubled, _any(leading, tritones > 0)), tritones > 1)


def _classes(tokens: Any) -> Any:
    """Return each token's pitch class, one-hot: float32 [..., 12]; zeros for silence and -1."""
    sounds = ops.cast(tokens > 0, "float32")[..., None]
    return sounds * ops.one_hot((tokens - 1 + LOWEST_PITCH) % CLASSES, CLASSES)


def _all(*conditions: Any) -> Any:
    first, *others = conditions
    for other in others:
        first = ops.logical_and(first, other)
    return first


def _any(one: Any, other: Any) -> Any:
    return ops.logical_or(one, other)
