"""The sketch table: drawings as Arrow, and Arrow as padded batches.

Columns: `ink: list<float32>` (3n values: n rows of dx, dy, end_of_stroke), `class_index: int64` (-1
if the class is unknown), and in training perhaps `weight: float32`. The class names are in the
schema's metadata, so that data never travel without their labels.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

UNKNOWN_CLASS = -1
WEIGHT = "weight"
_CLASS_NAMES = b"class_names"

# Largest extent of ink, which is scaled to a box of 1 x 1: rounding adds millionths.
_LARGEST_EXTENT = 1.01
# Ink whose larger extent is less, and not 0, was divided twice.
_SMALLEST_EXTENT = 0.1
_FAR = 4.0

# Columns that identify a drawing; readers add them on request.
ORIGIN_FIELDS = (
    pa.field("file", pa.string()),
    pa.field("row", pa.int64()),  # number of the drawing in its file, from 0
    pa.field("key_id", pa.string()),  # the data set's own name for the drawing, ndjson only
    pa.field("true_class", pa.string()),  # null if unknown
)


def schema(class_names: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of a sketch table whose `class_index` indexes `class_names`."""
    return pa.schema(
        [pa.field("ink", pa.list_(pa.float32())), pa.field("class_index", pa.int64())],
        metadata={_CLASS_NAMES: json.dumps(list(class_names))},
    )


def class_names_of(table_schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the class names in a schema, or None if it has none.

    Raises:
        ValueError: the metadata are not a list of names.
    """
    content = (table_schema.metadata or {}).get(_CLASS_NAMES)
    if content is None:
        return None
    try:
        names = json.loads(content)
    except RecursionError as error:  # brackets nested thousands deep
        raise ValueError("no list of names") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("no list of names")
    return tuple(names)


def from_arrays(
    values: npt.NDArray[np.float32],
    lengths: npt.NDArray[np.integer],
    class_indices: npt.NDArray[np.integer],
    class_names: Sequence[str],
) -> pa.Table:
    """Return a sketch table from inks end to end.

    Args:
        values: float32 [sum of lengths, 3] or flat, the rows of all inks.
        lengths: int [drawings], rows (points) of each ink.
        class_indices: int [drawings].
        class_names: the names that the indices refer to.
    """
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(np.asarray(lengths) * 3, out=offsets[1:])
    ink = pa.ListArray.from_arrays(offsets, np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.table(
        [ink, pa.array(np.asarray(class_indices, np.int64))], schema=schema(class_names)
    )


def from_inks(
    inks: Sequence[npt.NDArray[np.float32]],
    class_indices: Sequence[int],
    class_names: Sequence[str],
) -> pa.Table:
    """Return a sketch table from a list of inks.

    Args:
        inks: each float32 [n, 3].
        class_indices: index of each drawing's class.
        class_names: the names that the indices refer to.
    """
    return from_arrays(
        np.concatenate([*inks, np.zeros((0, 3), np.float32)]),
        np.array([len(ink) for ink in inks], np.int64),
        np.array(class_indices, np.int64),
        class_names,
    )


def with_origin(
    table: pa.Table,
    file: str,
    rows: npt.NDArray[np.int64],
    key_ids: Sequence[str | None] | None = None,
    true_classes: Sequence[str | None] | None = None,
) -> pa.Table:
    """Return the table with the `ORIGIN_FIELDS` columns after its own.

    Args:
        table: a sketch table.
        file: name of the file of all rows.
        rows: int64 [drawings], number of each drawing in the file, from 0.
        key_ids: the data set's own names of the drawings.
        true_classes: names of the classes; may have names that the table's list lacks. None for the
            names of `class_index`.
    """
    count = len(table)
    if true_classes is None:
        names = class_names_of(table.schema) or ()
        true_classes = [names[i] if i >= 0 else None for i in table["class_index"].to_pylist()]
    columns = (
        pa.array([file] * count, pa.string()),
        pa.array(rows, pa.int64()),
        pa.array(key_ids if key_ids is not None else [None] * count, pa.string()),
        pa.array(true_classes, pa.string()),
    )
    for field, column in zip(ORIGIN_FIELDS, columns, strict=True):
        table = table.append_column(field, column)
    return table


def turned_over(table: pa.Table) -> pa.Table:
    """Return the table with each drawing upside down."""
    ink = _ink_array(table)
    rows = ink.flatten().to_numpy().reshape(-1, 3) * np.array([1, -1, 1], np.float32)
    starts = pc.subtract(ink.offsets, ink.offsets[0])
    turned = pa.ListArray.from_arrays(starts, pa.array(rows.ravel()))
    return table.set_column(table.schema.get_field_index("ink"), table.schema.field("ink"), turned)


def _ink_array(table: pa.Table) -> pa.ListArray:
    column = table["ink"]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def flat_ink(table: pa.Table) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return all inks of a table end to end, and the first row of each.

    Returns:
        Points, float32 [points, 3], and offsets, int64 [drawings + 1]. Drawing i is
        `points[offsets[i]:offsets[i + 1]]`; both are views if Arrow allows it.
    """
    ink = _ink_array(table)
    if isinstance(ink, pa.ChunkedArray):  # an empty table has no chunk to combine
        ink = pa.array([], pa.list_(pa.float32()))
    offsets = ink.offsets.to_numpy().astype(np.int64)
    first, last = offsets[0], offsets[-1]
    values = ink.values.to_numpy(zero_copy_only=False)[first:last]
    return values.reshape(-1, 3), (offsets - first) // 3


def inks_of(table: pa.Table) -> list[npt.NDArray[np.float32]]:
    """Return the inks of a table, each float32 [n, 3]."""
    points, offsets = flat_ink(table)
    return [points[start:end] for start, end in pairwise(offsets)]


def padded(
    table: pa.Table, max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return a batch for the model.

    Longer drawings are cropped to their first `max_points` rows, shorter ones are filled up with
    rows of zeros. The length is always `max_points`, not that of the batch's longest drawing: so a
    prediction does not depend on other drawings, and compiled code has one shape.

    Returns:
        Ink float32 [drawings, max_points, 3], class_index int64 [drawings].
    """
    points, offsets = flat_ink(table)
    lengths = np.minimum(np.diff(offsets), max_points)
    batch = np.zeros((len(table), max_points, 3), np.float32)
    row = np.repeat(np.arange(len(table)), lengths)
    column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    batch[row, column] = points[np.repeat(offsets[:-1], lengths) + column]
    return batch, table["class_index"].to_numpy()


def with_weights(table: pa.Table, class_weights: npt.NDArray[np.float32]) -> pa.Table:
    """Return the table with a column `weight`: the weight of each drawing's class."""
    weights = class_weights[table["class_index"].to_numpy()]
    return table.append_column(WEIGHT, pa.array(weights, pa.float32()))


def weights_of(table: pa.Table) -> npt.NDArray[np.float32]:
    """Return each drawing's weight: float32 [drawings], 1 without such a column."""
    if WEIGHT not in table.column_names:
        return np.ones(len(table), np.float32)
    weights: npt.NDArray[np.float32] = table[WEIGHT].to_numpy()
    return weights


def lengths_of(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the rows of each drawing's ink, int64 [drawings]."""
    return np.diff(flat_ink(table)[1])


def without_unknown_classes(table: pa.Table, class_count: int) -> pa.Table:
    """Return the table with `UNKNOWN_CLASS` for null and every class outside the list."""
    classes = pc.fill_null(table["class_index"], UNKNOWN_CLASS).to_numpy()
    known = np.where((classes >= 0) & (classes < class_count), classes, UNKNOWN_CLASS)
    index = table.schema.get_field_index("class_index")
    return table.set_column(index, table.schema.field(index), pa.array(known, pa.int64()))


def bad_rows(table: pa.Table, class_count: int, *, labelled: bool) -> list[tuple[int, str]]:
    """Return the rows that are no drawing, with the reason.

    Reasons are no points, NaN, ink of another scale or form, and, if `labelled`, a class outside
    the list.

    Args:
        table: a sketch table.
        class_count: number of classes in the list.
        labelled: whether classes are needed.
    """
    ink = _ink_array(table)
    if isinstance(ink, pa.ChunkedArray) or len(table) == 0:
        return []
    offsets = ink.offsets.to_numpy().astype(np.int64)
    sizes = np.diff(offsets)
    reasons: dict[int, str] = {}
    values = ink.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    if not np.isfinite(values).all():
        owner = np.repeat(np.arange(len(sizes)), sizes)
        for row in np.unique(owner[~np.isfinite(values)]):
            reasons[int(row)] = "ink has NaN or infinite coordinates"
    for row in np.flatnonzero(sizes % 3):
        reasons[int(row)] = f"ink has {sizes[row]} values, which is not a multiple of 3"
    for row in np.flatnonzero(sizes == 0):
        reasons[int(row)] = "ink is empty: a drawing needs at least 2 points"
    rows = np.setdiff1d(np.arange(len(sizes)), list(reasons))
    if reasons:
        values = values[np.repeat(np.isin(np.arange(len(sizes)), rows), sizes)]
    for number, reason in _not_ink(values.reshape(-1, 3), sizes[rows] // 3):
        reasons[int(rows[number])] = reason
    if labelled:
        classes = pc.fill_null(table["class_index"], UNKNOWN_CLASS).to_numpy()
        for row in np.flatnonzero(~((classes >= 0) & (classes < class_count))):
            hint = "; drawings without a class can be classified, but not trained on"
            reasons[int(row)] = (
                f"class_index {classes[row]} is outside the class list of {class_count} names"
                f"{hint if classes[row] == UNKNOWN_CLASS else ''}"
            )
    return sorted(reasons.items())


def _not_ink(
    points: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64]
) -> Iterator[tuple[int, str]]:
    """Yield drawings of another scale or form than ink's, by their number, and the reason.

    Args:
        points: [sum of lengths, 3], finite.
        lengths: [drawings], at least 1 each.
    """
    if not len(points):
        return
    ends = np.cumsum(lengths)
    starts = ends - lengths
    pen = points[:, 2]
    for number in np.flatnonzero(np.maximum.reduceat(pen, starts) == 0):
        yield int(number), "ink has no end of a stroke: the third value of its last point must be 1"
    odd = np.flatnonzero((pen != 0) & (pen != 1))
    for number, first in zip(
        *np.unique(np.searchsorted(ends, odd, side="right"), return_index=True), strict=True
    ):
        yield (
            int(number),
            f"the third value of a point is {pen[odd[first]]:g}; "
            "it must be 1 at the end of a stroke, else 0",
        )
    # Steps of all drawings are end to end; a drawing's first step follows the last one before it.
    # Clipping keeps far points outside the box, and saves the digits of the others.
    spans = np.stack([starts, ends + 1], axis=1).reshape(-1)
    extents = np.zeros((2, len(lengths)))
    for axis in (0, 1):
        way = np.zeros(len(points) + 2)
        np.cumsum(np.clip(points[:, axis], -_FAR, _FAR), dtype=np.float64, out=way[1:-1])
        extents[axis] = (np.maximum.reduceat(way, spans) - np.minimum.reduceat(way, spans))[::2]
    larger = extents.max(axis=0)
    moves = np.maximum.reduceat(np.abs(points[:, :2]).max(axis=1), starts) > 0
    small = moves & (larger < _SMALLEST_EXTENT)
    for number in np.flatnonzero((larger > _LARGEST_EXTENT) | small):
        drawing = points[starts[number] : ends[number], :2]
        x, y = np.ptp(np.cumsum([[0, 0], *drawing.tolist()], axis=0), axis=0)
        must = "fill" if small[number] else "lie in"
        yield (
            int(number),
            f"ink spans {x:.4g} x {y:.4g} but must {must} a box of 1 x 1; divide its steps dx and "
            "dy by the drawing's width and height",
        )
