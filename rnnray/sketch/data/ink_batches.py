"""Many simplified drawings at once as ink: `strokes_to_ink` over whole Arrow columns.

One drawing at a time, NumPy's fixed costs would be most of the work of reading ndjson.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.sketch.data.simplify import SIZE, SPARSE, is_simplified


def inks_of_column(drawings: pa.ListArray) -> list[npt.NDArray[np.float32] | None]:
    """Return the inks of those drawings of a column that are certainly simplified.

    Args:
        drawings: list<list<list<number>>>: strokes of two lists, x and y.

    Returns:
        For each drawing the ink of `strokes_to_ink`, float32 [n - 1, 3], bit for bit. None for a
        drawing that needs a closer look: its strokes are not two lists of the same length, or could
        be lists of points as well, or have coordinates other than whole numbers from 0 to 255, or
        are not simplified (`is_simplified`).
    """
    nothing: list[npt.NDArray[np.float32] | None] = [None] * len(drawings)
    strokes = drawings.flatten()
    lists = strokes.flatten()
    coordinates = lists.flatten()
    if drawings.null_count or strokes.null_count or lists.null_count or coordinates.null_count:
        return nothing
    stroke_counts, list_counts = _lengths(drawings), _lengths(strokes)
    sizes = _lengths(lists)
    if not (len(sizes) and stroke_counts.all() and (list_counts == 2).all() and sizes.all()):
        return nothing
    stroke_points = sizes[::2]
    if not np.array_equal(stroke_points, sizes[1::2]):
        return nothing

    values = coordinates.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    is_x = np.repeat(np.arange(len(sizes)) % 2 == 0, sizes)
    points = np.stack([values[is_x], values[~is_x]])
    first_strokes = np.cumsum(stroke_counts) - stroke_counts
    counts = np.add.reduceat(stroke_points, first_strokes)
    firsts = np.cumsum(counts) - counts
    lower = np.minimum.reduceat(points, firsts, axis=1)
    upper = np.maximum.reduceat(points, firsts, axis=1)
    extent = upper - lower
    extent[extent == 0] = 1
    whole = np.logical_and.reduceat((points == np.rint(points)).all(axis=0), firsts)
    # NaN compares false.
    inside = (lower >= 0).all(axis=0) & (upper <= SIZE).all(axis=0)

    # Rounded to float32 before the difference is taken, as `strokes_to_ink` does.
    offset, scale = np.repeat(lower, counts, axis=1), np.repeat(extent, counts, axis=1)
    normalised = ((points - offset) / scale).astype(np.float32)
    rows = np.zeros((points.shape[1], 3), np.float32)
    rows[1:, :2] = np.diff(normalised).T
    last_points = np.cumsum(stroke_points) - 1
    rows[last_points, 2] = 1.0

    # Strokes of two or three points could be lists of points as well.
    one_way = np.maximum.reduceat(stroke_points, first_strokes) > 3
    usable = inside & whole & one_way
    steps = np.zeros(points.shape[1])
    steps[1:] = np.hypot(*np.diff(points))
    steps[0] = steps[last_points[:-1] + 1] = 0  # the pen is lifted
    # The first criterion of `is_simplified`, which most drawings pass.
    thin = counts - stroke_counts <= SPARSE * np.add.reduceat(steps, firsts)
    last_strokes = np.cumsum(stroke_counts)
    for index in np.flatnonzero(usable & ~thin):
        begin, end = firsts[index], firsts[index] + counts[index]
        ends = last_points[first_strokes[index] : last_strokes[index]] + 1 - begin
        usable[index] = is_simplified(points[:, begin:end], ends)

    ink = np.delete(rows, firsts, axis=0)
    bounds = np.concatenate([[0], np.cumsum(counts - 1)]).tolist()
    return [
        ink[start:end] if good else None
        for good, (start, end) in zip(usable.tolist(), pairwise(bounds), strict=True)
    ]


def _lengths(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    return lengths
