"""Random changes to drawings in training, inside the model and so on its device.

A drawing's random numbers are a hash of its ink, of the epoch's seed and of the step. So they are
the same whichever worker has it and whatever else is in its part of the batch.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from rnnray.sketch.ink_features import box_of, path_of
from rnnray.training.step import COMMON_SEED

# Numbers of 31 bits, whose products fit in 64: what 32-bit backends cut off is masked anyway.
_BITS = 31
_MASK = (1 << _BITS) - 1
_GRID = 1 << 15  # ink's values are told apart by steps of 1 / _GRID
_STROKE_BITS = 18  # of a stroke's random sort key; with 12 for the point they fit in 32
_POINT_BITS = 12


@keras.saving.register_keras_serializable("rnnray")
class InkAugmentation(layers.Layer):  # type: ignore[misc]
    """Ink of other drawings of the same thing, in training; the same ink otherwise.

    What comes out is ink as `rnnray.sketch.data.ink.strokes_to_ink` makes it: in a box of 1 x 1,
    without its first point, its end filled up with zeros.

    Args:
        rotation: largest angle by which a drawing is turned, in degrees.
        scale: each axis is scaled by up to 1 / (1 + scale) or 1 + scale. In the box, only what is
            turned or sheared afterwards differs.
        shear: x grows by up to this multiple of y.
        mirror: share of drawings that are mirrored, left to right.
        drop_strokes: share of strokes that are left out; one of each drawing stays.
        drop_points: share of points that are left out, between the ends of strokes.
        jitter: each coordinate moves by up to this share of the box.
        reorder: share of drawings whose strokes come in another order.

    Call: ink float [batch, points, 3] -> float [batch, points, 3].
    """

    def __init__(
        self,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        mirror: float = 0.0,
        drop_strokes: float = 0.0,
        drop_points: float = 0.0,
        jitter: float = 0.0,
        reorder: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = {
            "rotation": rotation,
            "scale": scale,
            "shear": shear,
            "mirror": mirror,
            "drop_strokes": drop_strokes,
            "drop_points": drop_points,
            "jitter": jitter,
            "reorder": reorder,
        }
        self.seed_generator = keras.random.SeedGenerator(name=COMMON_SEED)

    def call(self, ink: Any, training: bool = False) -> Any:
        """See the class."""
        if not training:
            return ink
        draw = _Numbers(ink, self.seed_generator.next())
        path = path_of(ink)
        # The first step's beginning, which ink leaves out, is a point of the first stroke.
        points = ops.pad(path.position, [[0, 0], [1, 0], [0, 0]])
        number = ops.cast(ops.cumsum(path.lands[..., 0], axis=1), "int64")
        stroke = ops.pad(number, [[0, 0], [1, 0]])
        there = ops.concatenate([ops.ones_like(path.drawn[:, :1]), path.drawn], axis=1)
        kept = ops.logical_and(there, self._kept(draw, stroke, there))
        order = ops.argsort(self._sort_keys(draw, stroke, kept), axis=1)
        count = ops.cast(ops.sum(ops.cast(kept, "int64"), axis=1, keepdims=True), "int64")
        stroke = ops.take_along_axis(stroke, order, axis=1)
        points = ops.take_along_axis(self._moved(draw, points), order[..., None], axis=1)
        return _as_ink(points, stroke, count)

    def _kept(self, draw: "_Numbers", stroke: Any, there: Any) -> Any:
        """Return bool [batch, points], true for the points that stay."""
        options = self.options
        chance = draw.uniform(0, stroke)
        # One stroke stays in any case: the one of the largest number.
        largest = ops.max(ops.where(there, chance, 0.0), axis=1, keepdims=True)
        kept = chance >= ops.minimum(largest, options["drop_strokes"])
        before = ops.concatenate([stroke[:, :1] - 1, stroke[:, :-1]], axis=1)
        after = ops.concatenate([stroke[:, 1:], stroke[:, -1:] + 1], axis=1)
        following = ops.concatenate([there[:, 1:], ops.zeros_like(there[:, :1])], axis=1)
        inside = ops.logical_and(ops.equal(stroke, before), ops.equal(stroke, after))
        inside = ops.logical_and(inside, following)
        lost = draw.uniform(1, _numbers(stroke)) < options["drop_points"]
        return ops.logical_and(kept, ops.logical_not(ops.logical_and(lost, inside)))

    def _sort_keys(self, draw: "_Numbers", stroke: Any, kept: Any) -> Any:
        """Return the sort key of the points: strokes in their order, or another; dropped ones last.

        Two strokes of one drawing get the same random number once in 10,000 drawings, and are then
        mixed into one.
        """
        another = draw.uniform(2, ops.zeros_like(stroke[:, :1])) < self.options["reorder"]
        random = ops.cast(draw.uniform(3, stroke) * ((1 << _STROKE_BITS) - 1), stroke.dtype)
        key = ops.where(another, random, stroke)
        key = ops.where(kept, key, 1 << _STROKE_BITS)
        return key * (1 << _POINT_BITS) + _numbers(stroke)

    def _moved(self, draw: "_Numbers", points: Any) -> Any:
        """Return the points turned, scaled, sheared, mirrored and jittered."""
        options = self.options
        one, two, three, four, five = (
            draw.uniform(4, ops.full((1, 1), number, dtype="int64")) for number in range(5)
        )
        angle = (2 * one - 1) * (options["rotation"] * np.pi / 180)
        x, y = points[..., 0], points[..., 1]
        x = x * ops.where(two < options["mirror"], -1.0, 1.0)
        x = x * _factor(three, options["scale"])
        y = y * _factor(four, options["scale"])
        x = x + (2 * five - 1) * options["shear"] * y
        cosine, sine = ops.cos(angle), ops.sin(angle)
        x, y = cosine * x - sine * y, sine * x + cosine * y
        if options["jitter"]:
            number = _numbers(points)
            wide = _extent(x), _extent(y)
            x = x + (2 * draw.uniform(5, number) - 1) * options["jitter"] * wide[0]
            y = y + (2 * draw.uniform(6, number) - 1) * options["jitter"] * wide[1]
        return ops.stack([x, y], axis=-1)

    def compute_output_spec(self, ink: Any, training: bool = False) -> Any:
        """Ink of the same shape."""
        del training
        return keras.KerasTensor(ink.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), **self.options}


class _Numbers:
    """The random numbers of the drawings of a batch.

    Args:
        ink: float [batch, points, 3].
        state: of a seed generator, int [2]: the epoch's seed, and a counter of steps.
    """

    def __init__(self, ink: Any, state: Any) -> None:
        state = ops.cast(state, "int64")
        step = _mixed(_mixed(state[:1]) + state[1:])
        size = ink.shape[1] * ink.shape[2]
        whole = ops.cast(ops.round(ops.reshape(ink, (-1, size)) * _GRID), "int64")
        odd = np.random.default_rng(0).integers(1, _MASK, size) | 1
        self._keys = _mixed(ops.sum(whole * ops.cast(odd, "int64"), axis=1, keepdims=True) + step)

    def uniform(self, purpose: int, number: Any) -> Any:
        """Numbers from 0 to 1, float32 [batch, n].

        Args:
            purpose: of these numbers; each purpose has its own.
            number: int64 [batch or 1, n]; the same number of a drawing gives the same.
        """
        keys = _mixed(self._keys + (0x3C6EF372 * (purpose + 1) & _MASK))
        return ops.cast(_mixed(keys + number), "float32") / (1 << _BITS)


def _mixed(value: Any) -> Any:
    """Integers of 31 bits whose every bit depends on every bit of the value."""
    for factor, shift in ((0x2C1B3C6D, 15), (0x297A2D39, 12), (0x1B56C4E9, 15)):
        value = ops.bitwise_and(value, _MASK)
        value = ops.bitwise_xor(value, ops.right_shift(value, shift)) * factor
    value = ops.bitwise_and(value, _MASK)
    return ops.bitwise_xor(value, ops.right_shift(value, 15))


def _numbers(points: Any) -> Any:
    """The number of each point, [1, points]; 64 bits: TensorFlow has no 32-bit ones on GPUs."""
    return ops.arange(points.shape[1], dtype="int64")[None, :]


def _factor(number: Any, most: float) -> Any:
    """From 1 / (1 + most) to 1 + most, each as often as its inverse."""
    return ops.exp((2 * number - 1) * float(np.log1p(most)))


def _extent(values: Any) -> Any:
    return ops.max(values, axis=1, keepdims=True) - ops.min(values, axis=1, keepdims=True)


def _as_ink(points: Any, stroke: Any, count: Any) -> Any:
    """Ink of the first `count` points [batch, 1] of each drawing, one more than ink has rows."""
    number = _numbers(points)
    there = ops.less(number, count)
    # Dropped points are where the first one is, so that the box does not see them.
    points = ops.where(there[..., None], points, points[:, :1]) - points[:, :1]
    low, high = box_of(points)
    extent = high - low
    points = points / ops.where(extent > 0, extent, 1.0)
    steps = points[:, 1:] - points[:, :-1]
    after = ops.concatenate([stroke[:, 1:], stroke[:, -1:]], axis=1)
    ends = ops.logical_or(ops.not_equal(stroke, after), ops.equal(number, count - 1))
    rows = ops.concatenate([steps, ops.cast(ends[:, 1:, None], steps.dtype)], axis=-1)
    return ops.where(there[:, 1:, None], rows, 0.0)
