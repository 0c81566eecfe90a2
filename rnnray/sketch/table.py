"""The sketch table: drawings as Arrow, and Arrow as padded batches.

Columns: `ink: list<float32>` (3n values: n rows of dx, dy, end_of_stroke), `class_index: int64`
(-1 where the class is not known). The class names stand in the schema's metadata, so that data
never travels without its labels.
"""

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UNKNOWN_CLASS = -1
_CLASS_NAMES = b"class_names"

# Columns that tell which drawing it is; readers add them when asked.
ORIGIN_FIELDS = (
    pa.field("file", pa.string()),
    pa.field("row", pa.int64()),  # number of the drawing in its file, from 0
    pa.field("key_id", pa.string()),  # the data set's own name for the drawing, ndjson only
    pa.field("true_class", pa.string()),  # null where the source does not say
)


def schema(class_names: Sequence[str]) -> pa.Schema:
    """The Arrow schema of a sketch table whose `class_index` points into `class_names`."""
    return pa.schema(
        [pa.field("ink", pa.list_(pa.float32())), pa.field("class_index", pa.int64())],
        metadata={_CLASS_NAMES: json.dumps(list(class_names))},
    )


def class_names_of(table_schema: pa.Schema) -> tuple[str, ...] | None:
    """The class names that a schema carries, or None where it has none.

    Raises:
        ValueError: what it carries is no list of names.
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
    """A sketch table from inks that lie end to end.

    Args:
        values: float32 [sum of lengths, 3] or flat, the rows of all inks.
        lengths: int [drawings], rows (points) of each ink.
        class_indices: int [drawings].
        class_names: the names that the indices point into.
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
    """A sketch table from a list of inks, each float32 [n, 3]."""
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
    """The table with the `ORIGIN_FIELDS` columns behind its own.

    `true_classes` says more than `class_index` where a source has classes that are not among the
    table's; without it they are the names of the indices.
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


def _ink_array(table: pa.Table) -> pa.ListArray:
    column = table["ink"]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def flat_ink(table: pa.Table) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """All inks of a table end to end: float32 [points, 3], and int64 [drawings + 1] row offsets.

    Drawing i is `points[offsets[i]:offsets[i + 1]]`; both are views where Arrow allows.
    """
    ink = _ink_array(table)
    if isinstance(ink, pa.ChunkedArray):  # an empty table has no chunk to combine
        ink = pa.array([], pa.list_(pa.float32()))
    offsets = ink.offsets.to_numpy().astype(np.int64)
    first, last = offsets[0], offsets[-1]
    values = ink.values.to_numpy(zero_copy_only=False)[first:last]
    return values.reshape(-1, 3), (offsets - first) // 3


def inks_of(table: pa.Table) -> list[npt.NDArray[np.float32]]:
    """The inks of a table, each float32 [n, 3]."""
    points, offsets = flat_ink(table)
    return [points[start:end] for start, end in pairwise(offsets)]


def padded(
    table: pa.Table, max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A batch for the model: ink float32 [drawings, max_points, 3], class_index int64 [drawings].

    Longer drawings are cropped to their first `max_points` rows, shorter ones are filled up with
    rows of zeros. Always to `max_points`, not to the longest of the batch: so a drawing's
    prediction does not depend on its neighbours, and compiled code sees one shape.
    """
    points, offsets = flat_ink(table)
    lengths = np.minimum(np.diff(offsets), max_points)
    batch = np.zeros((len(table), max_points, 3), np.float32)
    row = np.repeat(np.arange(len(table)), lengths)
    column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    batch[row, column] = points[np.repeat(offsets[:-1], lengths) + column]
    return batch, table["class_index"].to_numpy()


def bad_rows(table: pa.Table, class_count: int, *, labelled: bool) -> list[tuple[int, str]]:
    """The rows that are no drawing, with the reason: no points, NaN, a class outside the list."""
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
        reasons[int(row)] = f"ink has {sizes[row]} values, which is no multiple of 3"
    for row in np.flatnonzero(sizes == 0):
        reasons[int(row)] = "ink is empty: a drawing needs at least 2 points"
    if labelled:
        classes = table["class_index"].to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(~((classes >= 0) & (classes < class_count))):
            reasons[int(row)] = (
                f"class_index {classes[row]} is outside the class list of {class_count} names"
            )
    return sorted(reasons.items())
