"""The bitmap branch: ink drawn with soft lines, and a small convolutional network that reads it.

A line is drawn as samples of the pen's path, equally far apart, each a round Gaussian. A Gaussian
is a product of one in x and one in y, so a whole bitmap is one matrix product of [height, samples]
and [samples, width]. For 256 drawings of 100 points and 32 x 32 pixels that takes 4 million
exponentials, where the distances of all pixels to all segments would be 26 million.
"""

from typing import Any

import keras
from keras import layers, ops

from rnnray.sketch.ink_features import box_of, path_of

CHANNELS = 4
"""Ink; cosine and sine of twice the line's angle, since a line has no sense; when it was drawn."""
_SIGMA = 0.7  # pixels
_MARGIN = 2.0  # pixels around the drawing's box
_DOT = 0.5  # pixels of line that every point is worth: a dot has no length
_FEW_PAIRS = 1 << 15  # of sample and point, of one drawing, that are compared at once


@keras.saving.register_keras_serializable("rnnray")
class InkBitmap(layers.Layer):  # type: ignore[misc]
    """Draws ink.

    Args:
        size: width and height in pixels, which the longer side of the drawing's box fills.
        samples: of the pen's path, for each drawing; 256 are less than a pixel apart for nearly
            all drawings and 32 pixels.

    Call: ink float [batch, points, 3] -> float [batch, size, size, CHANNELS], ink from 0 to 1, the
    others from -1 to 1.
    """

    def __init__(self, size: int, samples: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.samples = size, samples

    def call(self, ink: Any) -> Any:
        """See the class."""
        path = path_of(ink)
        low, high = box_of(path.position)
        extent = ops.maximum(ops.max(high - low, axis=2, keepdims=True), 1e-3)
        scale = (self.size - 1 - 2 * _MARGIN) / extent
        step = ink[..., :2] * scale * (1 - path.lands)
        end = (path.position - (low + high) / 2) * scale + (self.size - 1) / 2
        drawn = ops.cast(path.drawn[..., None], ink.dtype)
        length = ops.sqrt(ops.sum(ops.square(step), axis=-1, keepdims=True))
        worth = (length + _DOT) * drawn
        until = ops.cumsum(worth, axis=1)
        total = until[:, -1:]
        direction = step / ops.maximum(length, 1e-6)
        cosine, sine = direction[..., :1], direction[..., 1:]
        done = ops.cumsum(drawn, axis=1) / ops.maximum(ops.sum(drawn, axis=1, keepdims=True), 1)
        segments = ops.concatenate(
            [
                *(end - step, step, until - worth, worth),
                *(ops.square(cosine) - ops.square(sine), 2 * cosine * sine, 2 * done - 1),
            ],
            axis=-1,
        )
        # The segment of each sample, and how much of it is drawn by then.
        at = (ops.arange(self.samples, dtype=ink.dtype) + 0.5)[None, :, None] / self.samples * total
        mine = ops.take_along_axis(segments, self._number(at, until)[..., None], axis=1)
        start, step, before, worth = (mine[..., i:j] for i, j in ((0, 2), (2, 4), (4, 5), (5, 6)))
        point = start + step * ops.clip((at - before) / ops.maximum(worth, 1e-6), 0, 1)
        # A long straight line is as dark as 1: the integral over its samples.
        strength = total / (self.samples * _SIGMA * 2.5066283)
        pixel = ops.arange(self.size, dtype=ink.dtype)
        across, down = (
            ops.exp(-0.5 * ops.square((point[..., i : i + 1] - pixel) / _SIGMA)) for i in (0, 1)
        )
        what = ops.concatenate([ops.ones_like(worth), mine[..., 6:]], axis=-1) * strength
        right = across[..., None] * what[:, :, None, :]
        right = ops.reshape(right, (-1, self.samples, self.size * CHANNELS))
        sums = ops.matmul(ops.transpose(down, (0, 2, 1)), right)
        sums = ops.reshape(sums, (-1, self.size, self.size, CHANNELS))
        dark = ops.tanh(sums[..., :1])
        return ops.concatenate([dark, sums[..., 1:] * (dark / (sums[..., :1] + 1e-6))], axis=-1)

    def _number(self, at: Any, until: Any) -> Any:
        """The number of each sample's segment: of those that end before it. int [batch, samples].

        In parts, or long drawings would take gigabytes.
        """
        points = until.shape[1]
        ends = ops.transpose(until, (0, 2, 1))
        some = max(1, _FEW_PAIRS // points)
        numbers = [
            ops.sum(ops.cast(at[:, first : first + some] >= ends, at.dtype), axis=2)
            for first in range(0, self.samples, some)
        ]
        return ops.cast(ops.minimum(ops.concatenate(numbers, axis=1), points - 1), "int64")

    def compute_output_spec(self, ink: Any) -> Any:
        """A bitmap."""
        shape = (ink.shape[0], self.size, self.size, CHANNELS)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "size": self.size, "samples": self.samples}


def look(bitmap: Any, filters: tuple[int, ...], *, momentum: float, synchronized: bool) -> Any:
    """Return what a small convolutional network sees in bitmaps [batch, size, size, channels].

    Every convolution halves the bitmap: on two cores, one at full size costs as much as all the
    others together.

    Args:
        bitmap: a Keras tensor.
        filters: number of filters of each convolution; the first is 5 x 5, the others 3 x 3.
        momentum: momentum of batch normalisation.
        synchronized: see `SketchModelConfig`.

    Returns:
        float [batch, 2 * filters[-1]]: mean and maximum over the last convolution's pixels.
    """
    x = bitmap
    for number, count in enumerate(filters):
        kernel_size = 3 if number else 5
        x = layers.Conv2D(
            count,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=False,
            name=f"bitmap_convolution_{number}",
        )(x)
        x = layers.BatchNormalization(
            momentum=momentum, synchronized=synchronized, name=f"bitmap_normalization_{number}"
        )(x)
        x = layers.Activation("relu")(x)
    return layers.Concatenate()(
        [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    )
