"""The fit of a note to the key of a piece, from the pitch classes sung so far.

The pitch classes are counted from the note upwards, so that the fit is learned once, not for each
key. The layer uses Keras alone.
"""

from typing import Any

import numpy as np
from keras import layers, ops

from rnnray.chorale.chords import VOICES
from rnnray.chorale.harmony import CLASSES
from rnnray.chorale.tokens import TOKENS

# The pitch class at each distance above each pitch class, and that of each token.
_ABOVE = (np.arange(CLASSES)[:, None] + np.arange(CLASSES)) % CLASSES
_OF_TOKEN = (np.arange(TOKENS) - 1) % CLASSES


class Key(layers.Layer):  # type: ignore[misc]
    """Embedding of the counts of pitch classes, and their logits in the voices' heads.

    Args:
        width: width of a chord's embedding.
        units: width of a head's hidden layer.
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
        """Embed counts of pitch classes (sums of `counted`): float32 [..., 12] -> [..., width]."""
        return self.heard(_shares(counts))

    def logits(self, voice: int, hidden: Any, counts: Any) -> Any:
        """Return the logits [..., 47] of a voice's notes by their fit to what was sung so far.

        Args:
            voice: 0 to 3.
            hidden: hidden layer of the voice's head, [..., units].
            counts: as in `embed`.
        """
        wanted = self.degrees[voice](hidden)
        each = ops.take(_shares(counts), _ABOVE, axis=-1)
        each = ops.sum(each * wanted[..., None, :], axis=-1)
        return ops.take(each, _OF_TOKEN, axis=-1) * (np.arange(TOKENS) > 0).astype("float32")


def counted(chords: Any) -> Any:
    """Count the voices that sing each pitch class: tokens int [..., 4] -> float32 [..., 12]."""
    sung = ops.one_hot((chords - 1) % CLASSES, CLASSES, dtype="float32")
    return ops.sum(sung * ops.cast(chords > 0, "float32")[..., None], axis=-2)


def _shares(counts: Any) -> Any:
    """Return 0 for a pitch class as frequent as the mean of all, -1 for one that was not sung."""
    total = ops.sum(counts, axis=-1, keepdims=True)
    return CLASSES * counts / ops.maximum(total, 1.0) - ops.cast(total > 0, "float32")
