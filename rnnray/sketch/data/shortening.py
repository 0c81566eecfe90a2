"""Shortening of drawings with too many points, by leaving out the points that change them least."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.sketch.data import sketch_table

Ink = npt.NDArray[np.float32]


def shortened(table: pa.Table, max_points: int) -> pa.Table:
    """A sketch table whose drawings have at most `max_points` rows, where they can.

    Only drawings that are longer differ, and only by points within strokes: those stay that begin
    or end one. A drawing with more strokes than that stays too long.
    """
    points, offsets = sketch_table.flat_ink(table)
    long = np.flatnonzero(np.diff(offsets) > max_points)
    if not len(long):
        return table
    kept = np.ones(len(points), np.bool_)
    changed = points.copy()
    for number in long:
        rows = slice(offsets[number], offsets[number + 1])
        rest = _most_important(points[rows], max_points)
        kept[rows] = False
        kept[rows.start + rest] = True
        # Steps over what is left out, of positions in float64.
        position = np.cumsum(points[rows, :2], axis=0, dtype=np.float64)[rest]
        changed[rows.start + rest, :2] = np.diff(position, axis=0, prepend=0.0)
    before = np.concatenate([[0], np.cumsum(kept)])[offsets]
    inks = pa.ListArray.from_arrays((3 * before).astype(np.int32), changed[kept].reshape(-1))
    index = table.schema.get_field_index("ink")
    return table.set_column(index, table.schema.field(index), inks)


def _most_important(ink: Ink, count: int) -> npt.NDArray[np.intp]:
    """The numbers of the rows that stay, ascending.

    In rounds, those go that lie nearest to the line through their neighbours, but never two
    neighbours at once (after Visvalingam and Whyatt, 1993).
    """
    position = np.cumsum(ink[:, :2], axis=0, dtype=np.float64)
    ends = ink[:, 2] > 0
    fixed = ends.copy()
    fixed[1:] |= ends[:-1]  # where the pen lands
    fixed[-1] = True
    rest = np.arange(len(ink))
    while len(rest) > count:
        # The point before the first row's is (0, 0).
        here, inside = position[rest], ~fixed[rest]
        before = np.concatenate([np.zeros((1, 2)), here[:-1]])
        after = np.concatenate([here[1:], here[-1:]])
        chord, arm = after - before, here - before
        length = np.hypot(*chord.T)
        off = np.abs(chord[:, 0] * arm[:, 1] - chord[:, 1] * arm[:, 0])
        distance = np.where(length > 0, off / np.maximum(length, 1e-12), np.hypot(*arm.T))
        distance[~inside] = np.inf
        nearest = np.argsort(distance, kind="stable")[: len(rest) - count]
        nearest = nearest[np.isfinite(distance[nearest])]
        if not len(nearest):
            break
        goes = np.zeros(len(rest) + 1, np.bool_)
        for index in nearest:
            goes[index] = not (goes[index - 1] or goes[index + 1])
        rest = rest[~goes[:-1]]
    return rest
