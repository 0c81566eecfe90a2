"""Features that the classifier derives from ink: positions, directions, strokes.

Keras operations alone, without a loop, so that a saved model needs ink and nothing else.
"""

from typing import Any, NamedTuple

import keras
from keras import layers, ops

FEATURES = {"position": 2, "direction": 3, "strokes": 3}
"""Names of what can be derived, with the number of columns of each."""


class Path(NamedTuple):
    """The points of padded ink: where the pen goes."""

    drawn: Any
    """bool [batch, points], false for padding."""
    position: Any
    """float [batch, points, 2], where each step ends; the first one began at (0, 0)."""
    lands: Any
    """float [batch, points, 1], 1 where the step was in the air: its end begins a stroke."""


def path_of(ink: Any) -> Path:
    """The path of padded ink, float [batch, points, 3].

    Padding is rows of zeros; a drawing's last row never is one, since it ends a stroke.
    """
    filled = ops.any(ops.not_equal(ink, 0), axis=-1)
    # As floats: TensorFlow brings 32-bit integers back from a GPU.
    number = ops.arange(1, ink.shape[1] + 1, dtype=ink.dtype)
    length = ops.max(ops.where(filled, number, 0.0), axis=1, keepdims=True)
    ends = ink[..., 2:]
    lands = ops.concatenate([ops.zeros_like(ends[:, :1]), ends[:, :-1]], axis=1)
    drawn = ops.less_equal(number[None, :], length)
    position = ops.cumsum(ink[..., :2], axis=1)
    return Path(drawn, position, lands * ops.cast(drawn[..., None], lands.dtype))


def box_of(position: Any) -> tuple[Any, Any]:
    """The corners of a drawing's box, float [batch, 1, 2] each: smallest and largest coordinates.

    Padding repeats the last point, and the point before the first step is (0, 0).
    """
    low = ops.minimum(ops.min(position, axis=1, keepdims=True), 0.0)
    return low, ops.maximum(ops.max(position, axis=1, keepdims=True), 0.0)


@keras.saving.register_keras_serializable("rnnray")
class InkFeatures(layers.Layer):  # type: ignore[misc]
    """Ink with more columns, each of about -1 to 1, and 0 in the padding.

    Args:
        features: of `FEATURES`. position: x and y from the middle of the drawing's box, so that
            a box of 1 x 1 goes from -1 to 1. direction: cosine, sine, and length of the step.
            strokes: 1 where the step was in the air, the logarithm of the stroke's number, and
            the share of the drawing that is done.

    Call: ink float [batch, points, 3] -> float [batch, points, 3 + columns].
    """

    def __init__(self, features: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = tuple(features)

    def call(self, ink: Any) -> Any:
        """See the class."""
        path = path_of(ink)
        drawn = ops.cast(path.drawn[..., None], ink.dtype)
        columns = [ink]
        if "position" in self.features:
            low, high = box_of(path.position)
            columns.append((2 * path.position - low - high) * drawn)
        if "direction" in self.features:
            step = ink[..., :2]
            length = ops.sqrt(ops.sum(ops.square(step), axis=-1, keepdims=True))
            columns += [step / ops.maximum(length, 1e-6), length]
        if "strokes" in self.features:
            number = ops.log1p(ops.cumsum(path.lands, axis=1))
            done = ops.cumsum(drawn, axis=1) / ops.maximum(ops.sum(drawn, axis=1, keepdims=True), 1)
            columns += [path.lands, number * drawn, done * drawn]
        return ops.concatenate(columns, axis=-1)

    def compute_output_spec(self, ink: Any) -> Any:
        """The columns of ink and of the features."""
        columns = 3 + sum(FEATURES[name] for name in self.features)
        return keras.KerasTensor((*ink.shape[:2], columns), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "features": list(self.features)}
