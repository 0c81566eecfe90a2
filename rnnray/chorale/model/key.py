"""The key that a piece is in and comes home to, from the pitch classes that it has sung so far.

How well a note fits is told relative to the note: it is learned once, not for each key. Keras
alone.
"""

from typing import Any

import numpy as np
from keras import layers, ops

from rnnray.chorale.chords import VOICES
from rnnray.chorale.harmony import CLASSES
from rnnray.chorale.tokens import TOKENS

# The pitch classes at each distance above each one, and of each token that is a note.
_ABOVE = (np.arange(CLASSES)[:, None] + np.arange(CLASSES)) % CLASSES
_OF_TOKEN = (np.arange(TOKENS) - 1) % CLASSES


class Key(layers.Layer):  # type: ignore[misc]
    """What the counts of pitch classes say to an embedding of chords and to the voices' heads.

    Args:
        width: of a chord's embedding.
        units: of a head's hidden layer.
    """

    def __init__(self, width: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.heard = layers.Dense(width, use_bias=False)
        self.degrees = [
            layers.Dense(CLASSES, kernel_initializer="zeros", dtype="float32") for _ in VOICES
        ]

    def build(self, input_shape: Any = None) -> None:
        """Make the weights; they do not depend on the input's shape."""
        self.heard.build((None, CLASSES))
        for layer in self.degrees:
            layer.build((None, None, self.units))
        self.built = True

    def embed(self, counts: Any) -> Any:
        """Counts of pitch classes, float32 [..., 12], as `counted` makes them -> [..., width]."""
        return self.heard(_shares(counts))

    def logits(self, voice: int, hidden: Any, counts: Any) -> Any:
        """The logits [..., 47] of a voice's notes: of each, for its place in what was sung so far.

        Args:
            voice: 0 to 3.
            hidden: of the voice's head, [..., units].
            counts: as in `embed`.
        """
        wanted = self.degrees[voice](hidden)
        each = ops.take(_shares(counts), _ABOVE, axis=-1)
        each = ops.sum(each * wanted[..., None, :], axis=-1)
        return ops.take(each, _OF_TOKEN, axis=-1) * (np.arange(TOKENS) > 0).astype("float32")


def counted(chords: Any) -> Any:
    """How many voices of each chord sing each pitch class: tokens int [..., 4] -> [..., 12]."""
    sung = ops.one_hot((chords - 1) % CLASSES, CLASSES, dtype="float32")
    return ops.sum(sung * ops.cast(chords > 0, "float32")[..., None], axis=-2)


def _shares(counts: Any) -> Any:
    """0 for a pitch class that is as frequent as the mean of all, -1 for one that was not sung."""
    total = ops.sum(counts, axis=-1, keepdims=True)
    return CLASSES * counts / ops.maximum(total, 1.0) - ops.cast(total > 0, "float32")
