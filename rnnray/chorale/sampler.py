"""Chorales from a composer, a note at a time, thousands of chorales at once.

The sampler knows no architecture: it is given `initial_state` and `step` of
`rnnray.chorale.model.architectures.Composer`, and compiles a loop over chords around them. Its
memory does not depend on the chorales' length, but for the notes themselves.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rnnray.chorale import tokens
from rnnray.chorale.chords import QUARTER, VOICE_COUNT
from rnnray.chorale.model.architectures import Composer
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.tokens import NONE
from rnnray.errors import UserError


class Sampler:
    """Composes in batches of one fixed size, so that a chorale is a function of the composer, the
    seed and its request alone: shorter batches are filled up, and the arithmetic stays the same.

    Args:
        composer: the model.
        batch_size: chorales at once.
        seed: of all random choices.
    """

    def __init__(self, composer: Composer, *, batch_size: int = 64, seed: int = 0) -> None:
        self._composer, self._batch_size, self._seed = composer, batch_size, seed
        numbers = tf.TensorSpec([batch_size], tf.float32)
        self._loop = tf.function(
            self._compose,
            input_signature=[
                tf.TensorSpec([None, batch_size], tf.int32),
                tf.TensorSpec([None, batch_size], tf.float32),
                numbers,
                numbers,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([batch_size], tf.int32),
            ],
            autograph=False,
        )

    def compose(self, requests: Sequence[Request]) -> Iterator[list[Composition]]:
        """Compose all requests, a batch of results at a time, in order."""
        # A batch's chords go by one clock.
        for _, group in groupby(requests, lambda request: request.bar_position):
            same = list(group)
            for start in range(0, len(same), self._batch_size):
                yield self._batch(same[start : start + self._batch_size])

    def _batch(self, requests: Sequence[Request]) -> list[Composition]:
        filled = [*requests, *[requests[-1]] * (self._batch_size - len(requests))]
        longest = max(request.given.size for request in requests)
        given = np.full((longest, self._batch_size), NONE, np.int32)
        uniforms = np.zeros((longest, self._batch_size), np.float32)
        for row, request in enumerate(filled):
            given[: request.given.size, row] = request.given
            uniforms[:, row] = _uniforms(self._seed, request.index, longest)
        notes, nats = self._loop(
            given,
            uniforms,
            np.array([request.temperature for request in filled], np.float32),
            np.array([request.top_p for request in filled], np.float32),
            requests[0].bar_position,
            np.array(list(map(_told_length, filled)), np.int32),
        )
        notes, nats = notes.numpy(), nats.numpy()
        if not np.isfinite(nats).all():
            raise UserError(
                "the composer's probabilities are not finite numbers: its training diverged, "
                "take an earlier checkpoint"
            )
        return [
            Composition(
                tokens.to_chords(notes[: request.given.size, row]),
                nats[: request.given.size, row],
            )
            for row, request in enumerate(requests)
        ]

    def _compose(
        self,
        given: Any,
        uniforms: Any,
        temperature: Any,
        top_p: Any,
        bar_position: Any,
        lengths: Any,
    ) -> Any:
        """The loop over chords, as a graph: notes int32 and nats float32, both [4n, batch]."""
        chords = tf.shape(given)[0] // VOICE_COUNT
        shape = [VOICE_COUNT, self._batch_size]

        def compose_chord(number: Any, logits: Any, state: Any, notes: Any, nats: Any) -> Any:
            chosen, costs = [], []
            for voice in range(VOICE_COUNT):
                at = number * VOICE_COUNT + voice
                note = _draw(logits, uniforms[at], temperature, top_p)
                note = tf.where(given[at] == NONE, note, given[at])
                costs.append(tf.nn.sparse_softmax_cross_entropy_with_logits(note, logits))
                chosen.append(note)
                logits, state = self._composer.step(state, note, voice)
            notes = notes.write(number, tf.stack(chosen))
            return number + 1, logits, state, notes, nats.write(number, tf.stack(costs))

        logits, state = self._composer.initial_state(self._batch_size, bar_position, lengths)
        *_, notes, nats = tf.while_loop(
            lambda number, *_: number < chords,
            compose_chord,
            (
                tf.constant(0),
                logits,
                state,
                tf.TensorArray(tf.int32, chords, element_shape=shape),
                tf.TensorArray(tf.float32, chords, element_shape=shape),
            ),
        )
        return (
            tf.reshape(notes.stack(), [-1, self._batch_size]),
            tf.reshape(nats.stack(), [-1, self._batch_size]),
        )


def _draw(logits: Any, uniform: Any, temperature: Any, top_p: Any) -> Any:
    """A note for each row, int32 [batch], by inverting the distribution function at `uniform`.

    One number a note, instead of one a token, so a thousand chorales need few random numbers.
    """
    likeliest = tf.argmax(logits, -1, tf.int32)
    # The likeliest note is at 0, so that no temperature takes the exponential out of range.
    shifted = logits - tf.reduce_max(logits, -1, keepdims=True)
    weights = tf.exp(shifted / tf.where(temperature > 0, temperature, 1.0)[:, None])
    weights = tf.cond(tf.reduce_any(top_p < 1), lambda: _nucleus(weights, top_p), lambda: weights)
    below = tf.cumsum(weights, axis=-1)
    drawn = tf.reduce_sum(tf.cast(below <= uniform[:, None] * below[:, -1:], tf.int32), -1)
    return tf.where(temperature > 0, drawn, likeliest)


def _nucleus(weights: Any, top_p: Any) -> Any:
    """The weights with zeros for all but the likeliest notes that make up `top_p` together."""
    ordered = tf.sort(weights, axis=-1, direction="DESCENDING")
    before = tf.cumsum(ordered, axis=-1, exclusive=True)
    share = tf.maximum(top_p, np.finfo(np.float32).tiny)[:, None]
    # 1 keeps all, whatever the rounding of the sums.
    kept = (before < share * tf.reduce_sum(weights, -1, keepdims=True)) | (share >= 1)
    least = tf.reduce_min(tf.where(kept, ordered, weights.dtype.max), -1, keepdims=True)
    return tf.where(weights >= least, weights, 0.0)


def _told_length(request: Request) -> int:
    """The chords that the composer is told of: to the end of the last quarter.

    All pieces that it knows end with one; what a chorale that does not ends within is held.
    """
    chords = request.given.size // VOICE_COUNT
    return chords + -(request.bar_position + chords) % QUARTER


def _uniforms(seed: int, index: int, count: int) -> npt.NDArray[np.float32]:
    """The numbers of a chorale, from 0 to below 1, the same however many are wanted.

    Of 23 bits, so that in float32 their product with a sum stays below the sum.
    """
    bits = np.random.Generator(np.random.Philox(key=[seed, index])).integers(
        2**23, size=count, dtype=np.uint32
    )
    return (bits / np.float32(2**23)).astype(np.float32)
