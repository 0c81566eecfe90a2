"""Parquet files of the sketch table, as `jobs/prepare_sketches.py` writes them."""

from collections.abc import Iterator, Sequence
from io import BufferedIOBase

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data import huggingface, sketch_table
from rnnray.sketch.data.unpacking import as_file

_ROWS = 4096
# Errors of damaged Parquet files. ValueError: names that are not UTF-8. TypeError and KeyError:
# Ray's own column types.
PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)


def open_parquet(stream: BufferedIOBase, path: str) -> pq.ParquetFile:
    """Return a Parquet file whose page checksums are verified; unpacks a compressed one first.

    Raises:
        UserError: the file is damaged.
    """
    try:
        file = pq.ParquetFile(as_file(stream), page_checksum_verification=True)
        file.schema_arrow.names  # noqa: B018  (raises for names that are not UTF-8)
    except PARQUET_ERRORS as error:
        raise UserError(f"{path}: damaged Parquet file ({error})") from error
    return file


def class_names_of(
    stream: BufferedIOBase, path: str, default: Sequence[str] | None = None
) -> tuple[str, ...] | None:
    """Return the class names in a file's schema; None for a file of words without such a list.

    Args:
        stream: the file.
        path: its path, for messages.
        default: names for a file without its own.

    Raises:
        UserError: the file has no names and needs them, or damaged ones.
    """
    schema = open_parquet(stream, path).schema_arrow
    try:
        if "ink" not in schema.names and "drawing" in schema.names:
            return huggingface.class_names_of(schema)
        names = sketch_table.class_names_of(schema)
    except ValueError as error:
        raise UserError(f"{path}: the class names in its schema are damaged ({error})") from error
    if names is None and default is not None:
        return tuple(default)
    if names is None:
        raise UserError(
            f"{path}: Parquet without class names in its schema: it can be classified, but not "
            "trained on; for training, write it with jobs/prepare_sketches.py"
        )
    return names


def read_tables(
    stream: BufferedIOBase,
    path: str,
    class_names: Sequence[str],
    labelled: bool,
    origin: bool,
    on_bad: OnBad | None,
) -> Iterator[pa.Table]:
    """Yield the rows of a file as sketch tables, with the origin of each row if wanted.

    Args:
        stream: the file.
        path: its path, for messages.
        class_names: the names that `class_index` indexes.
        labelled: whether a class outside `class_names` is an error.
        origin: add the columns of each drawing's origin.
        on_bad: takes the error of a row that is no drawing, and reading goes on.

    Raises:
        UserError: damage; or a row that is no drawing, without `on_bad`.
    """
    file = open_parquet(stream, path)
    for column in ("ink", "class_index") if labelled else ("ink",):
        if column not in file.schema_arrow.names:
            raise UserError(
                f"{path}: no column {column!r}; the columns are {file.schema_arrow.names}"
            )
    columns = [c for c in ("ink", "class_index") if c in file.schema_arrow.names]
    # Class numbers mean nothing without their names.
    if not labelled and sketch_table.class_names_of(file.schema_arrow) is None:
        columns = ["ink"]
    batches = file.iter_batches(_ROWS, columns=columns, use_threads=False)
    first_row = 0
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            rows = pa.Table.from_batches([batch])
            if "class_index" not in columns:
                unknown = np.full(len(rows), sketch_table.UNKNOWN_CLASS, np.int64)
                rows = rows.append_column("class_index", pa.array(unknown))
            rows = rows.cast(sketch_table.schema(class_names))
            if not labelled:
                rows = sketch_table.without_unknown_classes(rows, len(class_names))
        except PARQUET_ERRORS as error:
            damage = UserError(f"{path}: damaged Parquet file after row {first_row} ({error})")
            if on_bad is None:
                raise damage from error
            on_bad(damage)
            return
        numbers = np.arange(first_row, first_row + len(rows))
        first_row += len(rows)
        bad = sketch_table.bad_rows(rows, len(class_names), labelled=labelled)
        for row, reason in bad:
            problem = UserError(f"{path}: row {numbers[row]}: {reason}")
            report(problem, on_bad)
        if bad:
            kept = np.setdiff1d(np.arange(len(rows)), [row for row, _ in bad])
            rows, numbers = rows.take(kept), numbers[kept]
        yield sketch_table.with_origin(rows, path, numbers) if origin else rows
