"""A drawing as strokes, and as the ink that the classifier reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError

# Differences of smaller coordinates, and their products with 255, cannot overflow a float64.
_LARGEST_COORDINATE = 1e300


def join_strokes(
    strokes: Sequence[npt.ArrayLike],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return all points of a drawing in one array, and the ends of its strokes.

    Leaves out strokes without points.

    Args:
        strokes: array-likes [2, n_i] of numbers, at least one with a point.

    Returns:
        Points, float64 [2, n], and for each stroke the index one past its last point, int
        [strokes].

    Raises:
        UserError: no points, a stroke that is not [2, n] numbers (as when x and y differ in
            length), or a coordinate that is NaN, infinite or beyond 1e300.
    """
    joined = _join_lists(strokes)
    if joined is not None:
        return joined
    arrays = [_as_stroke(stroke, number) for number, stroke in enumerate(strokes, start=1)]
    arrays = [array for array in arrays if array.shape[1] > 0]
    if not arrays:
        raise UserError("a drawing has no points; it needs at least 2")
    points = np.concatenate(arrays, axis=1, dtype=np.float64)
    if not _in_range(points):
        raise UserError("a drawing has a coordinate that is NaN, infinite or beyond 1e300")
    return points, np.cumsum([array.shape[1] for array in arrays], dtype=np.intp)


def _in_range(points: npt.NDArray[np.float64]) -> bool:
    return bool(np.abs(points).max() <= _LARGEST_COORDINATE)  # NaN compares false


def _join_lists(
    strokes: Sequence[npt.ArrayLike],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]] | None:
    """Do the work of `join_strokes` for lists from JSON, faster; None if anything is unusual."""
    lists: list[Any] = []
    for stroke in strokes:
        if not isinstance(stroke, list) or len(stroke) != len("xy"):
            return None
        if not all(isinstance(axis, list) for axis in stroke) or len(stroke[0]) != len(stroke[1]):
            return None
        if stroke[0]:
            lists.append(stroke)
    try:
        points = np.array([[value for stroke in lists for value in stroke[i]] for i in (0, 1)])
    except (ValueError, OverflowError):
        return None
    if points.ndim != 2 or points.dtype.kind not in "iuf" or not points.size:
        return None
    points = points.astype(np.float64, copy=False)
    ends = np.cumsum([len(stroke[0]) for stroke in lists], dtype=np.intp)
    return (points, ends) if _in_range(points) else None


def _as_stroke(stroke: npt.ArrayLike, number: int) -> npt.NDArray[Any]:
    try:
        array = np.asarray(stroke)
    except (ValueError, OverflowError):  # lists of several lengths, integers beyond any float
        array = np.empty(0)
    # An empty list of numbers has the dtype float64; bools and strings of digits are not numbers.
    if array.ndim != 2 or array.shape[0] != 2 or array.dtype.kind not in "iuf":
        raise UserError(f"stroke {number} is not two lists of numbers (x, y) of the same length")
    return array


def strokes_to_ink(strokes: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float32]:
    """Return ink: steps from point to point in a bounding box of 1 x 1, and the ends of strokes.

    Each axis is scaled by its own extent (an extent of 0 counts as 1), so ink does not depend on a
    drawing's position, size or proportions. The first point is dropped: row i is the step to point
    i + 1. This is `parse_line` of create_dataset.py in TensorFlow's recurrent Quick, Draw!
    tutorial, and gives the same float32 values for integer coordinates. It is the reference for
    what the readers do with whole columns, and tests compare them with it.

    Args:
        strokes: array-likes [2, n_i] of finite numbers in any unit, at least 2 points in all.

    Returns:
        float32 [n - 1, 3]: dx, dy, and 1.0 if a stroke ends at that point, else 0.0.

    Raises:
        UserError: fewer than 2 points, or see `join_strokes`. The message names no file; the caller
            knows it.
    """
    return ink_of_points(*join_strokes(strokes))


def ink_of_points(
    points: npt.NDArray[np.float64], ends: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Return the ink of `strokes_to_ink` from the result of `join_strokes`."""
    n = points.shape[1]
    if n < 2:
        raise UserError(f"a drawing has {n} point; it needs at least 2")
    lower = points.min(axis=1, keepdims=True)
    extent = points.max(axis=1, keepdims=True) - lower
    extent[extent == 0] = 1
    # Rounded to float32 before the difference is taken, as in the tutorial.
    normalised = ((points - lower) / extent).astype(np.float32)
    ink = np.zeros((n - 1, 3), dtype=np.float32)
    ink[:, :2] = (normalised[:, 1:] - normalised[:, :-1]).T
    # The last point of a stroke is `ends - 1`, its row one less. A first stroke of one point has no
    # row: its mark falls on row -1, which ends a stroke in any case.
    ink[ends - 2, 2] = 1.0
    return ink


def ink_to_strokes(ink: npt.ArrayLike) -> list[npt.NDArray[np.float32]]:
    """Return strokes to draw from ink; the point that ink drops becomes the origin.

    Ink made by `strokes_to_ink` gives the normalised strokes, moved to begin at (0, 0), with one
    exception: ink does not show that a first stroke has a single point, so the point becomes the
    beginning of the second stroke. Rows after the last end of a stroke, as in cropped ink, make a
    stroke of their own.

    Args:
        ink: [n, 3] rows (dx, dy, end of stroke); n may be 0.

    Returns:
        float32 [2, n_i] for each stroke, n + 1 points in all, absolute coordinates.
    """
    rows = np.asarray(ink)
    points = np.zeros((2, len(rows) + 1), dtype=np.float64)
    np.cumsum(rows[:, :2].T, axis=1, out=points[:, 1:])
    ends = np.flatnonzero(rows[:, 2] > 0.5) + 2
    strokes = np.split(points.astype(np.float32), ends, axis=1)
    return [stroke for stroke in strokes if stroke.shape[1] > 0]
