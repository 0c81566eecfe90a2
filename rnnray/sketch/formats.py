"""One file of drawings, in any format that we know -> sketch tables."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase, BufferedReader
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch import ndjson, table, tfrecords
from rnnray.sketch.tfrecord_file import OnBad, count_records, decompressed, is_tfrecord

Format = Literal["tfrecords", "parquet", "ndjson"]
# Which drawings of an ndjson file to keep, by the data set's own name for the drawing or its place.
Keep = Callable[[ndjson.Drawing], bool]

_ROWS = 4096
_HEAD_BYTES = 16
_MAX_LINE_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20
# What damaged Parquet files raise; ValueError is for names that are not UTF-8, the last two come
# from Ray's own types of columns.
_PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)


def detect(filesystem: fs.FileSystem, path: str) -> Format:
    """The format of a file, told by its content, or by its name where the content is damaged.

    Raises:
        UserError: none of the formats.
    """
    with _open(filesystem, path) as stream:
        try:
            head = decompressed(stream).read(_HEAD_BYTES)
        except (OSError, EOFError, zlib.error):
            head = b""
    name = PurePosixPath(path).name
    if head[:4] == b"PAR1":
        return "parquet"
    if is_tfrecord(head) or ".tfrecord" in name:
        return "tfrecords"
    if head.lstrip()[:1] == b"{" or ".ndjson" in name:
        return "ndjson"
    if ".parquet" in name:
        return "parquet"
    raise UserError(f"{path}: neither TFRecords, Parquet nor ndjson, by content and by name")


def read_tables(
    filesystem: fs.FileSystem,
    path: str,
    file_format: Format,
    class_names: Sequence[str],
    *,
    labelled: bool = True,
    origin: bool = False,
    keep: Keep | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[pa.Table]:
    """Read one file as sketch tables of a few thousand rows, streaming.

    Args:
        filesystem: of the file.
        path: of the file, within the file system.
        file_format: see `detect`.
        class_names: what `class_index` points into.
        labelled: a class that is not among `class_names` is an error; otherwise it gives
            `table.UNKNOWN_CLASS`.
        origin: add the columns that say where each drawing came from (`table.ORIGIN_FIELDS`).
        keep: leaves out drawings of ndjson.
        on_bad: takes the error of a drawing that cannot be used, and reading goes on.

    Raises:
        UserError: a drawing that cannot be used, named by file and offset, line or row.
    """
    with _open(filesystem, path) as stream:
        if file_format == "tfrecords":
            yield from tfrecords.read_tables(
                stream, path, class_names, labelled=labelled, origin=origin, on_bad=on_bad
            )
        elif file_format == "parquet":
            yield from _parquet_tables(stream, path, class_names, labelled, origin, on_bad)
        else:
            yield from _ndjson_tables(stream, path, class_names, labelled, origin, keep, on_bad)


def count_rows(
    filesystem: fs.FileSystem, path: str, file_format: Format, keep: Keep | None = None
) -> int:
    """How many drawings a file has; those that a read would skip as bad may be among them."""
    with _open(filesystem, path) as stream:
        if file_format == "tfrecords":
            return count_records(stream, path)
        if file_format == "parquet":
            return int(_parquet_file(stream, path).metadata.num_rows)
        drawings = _ndjson_drawings(stream, path, lambda _: None)
        return sum(1 for drawing in drawings if keep is None or keep(drawing))


def class_names_of(
    filesystem: fs.FileSystem, path: str, default: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The class names that a Parquet file carries, or else the default.

    Raises:
        UserError: there are none.
    """
    with _open(filesystem, path) as stream:
        schema = _parquet_file(stream, path).schema_arrow
    try:
        names = table.class_names_of(schema)
    except ValueError as error:
        raise UserError(f"{path}: the class names in its schema are damaged ({error})") from error
    if names is None and default is not None:
        return tuple(default)
    if names is None:
        raise UserError(
            f"{path}: Parquet without class names in its schema: it can be classified, not "
            "trained on; make it with jobs/prepare_sketches.py"
        )
    return names


def words_of(filesystem: fs.FileSystem, path: str, on_bad: OnBad | None = None) -> set[str]:
    """The words that an ndjson file has drawings of."""
    with _open(filesystem, path) as stream:
        return {
            drawing.word
            for drawing in _ndjson_drawings(stream, path, on_bad)
            if drawing.word is not None
        }


def _open(filesystem: fs.FileSystem, path: str) -> BufferedIOBase:
    try:
        stream = filesystem.open_input_file(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    return BufferedReader(stream, _BUFFER_BYTES)


def _parquet_file(stream: BufferedIOBase, path: str, labelled: bool = False) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        columns = file.schema_arrow.names
    except _PARQUET_ERRORS as error:
        raise UserError(f"{path}: damaged Parquet file ({error})") from error
    for column in ("ink", "class_index") if labelled else ("ink",):
        if column not in columns:
            raise UserError(f"{path}: no column {column!r}; the columns are {columns}")
    return file


def _parquet_tables(
    stream: BufferedIOBase,
    path: str,
    class_names: Sequence[str],
    labelled: bool,
    origin: bool,
    on_bad: OnBad | None,
) -> Iterator[pa.Table]:
    file = _parquet_file(stream, path, labelled)
    columns = [c for c in ("ink", "class_index") if c in file.schema_arrow.names]
    # Numbers of classes without their names mean nothing.
    if not labelled and table.class_names_of(file.schema_arrow) is None:
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
                unknown = np.full(len(rows), table.UNKNOWN_CLASS, np.int64)
                rows = rows.append_column("class_index", pa.array(unknown))
            rows = rows.cast(table.schema(class_names))
            if not labelled:
                rows = table.without_unknown_classes(rows, len(class_names))
        except _PARQUET_ERRORS as error:
            damage = UserError(f"{path}: damaged Parquet file behind row {first_row} ({error})")
            if on_bad is None:
                raise damage from error
            on_bad(damage)
            return
        numbers = np.arange(first_row, first_row + len(rows))
        first_row += len(rows)
        bad = table.bad_rows(rows, len(class_names), labelled=labelled)
        for row, reason in bad:
            problem = UserError(f"{path}: row {numbers[row]}: {reason}")
            if on_bad is None:
                raise problem
            on_bad(problem)
        if bad:
            kept = np.setdiff1d(np.arange(len(rows)), [row for row, _ in bad])
            rows, numbers = rows.take(kept), numbers[kept]
        yield table.with_origin(rows, path, numbers) if origin else rows


def _ndjson_drawings(
    stream: BufferedIOBase, path: str, on_bad: OnBad | None
) -> Iterator[ndjson.Drawing]:
    text = decompressed(stream)
    # Bounded, so that a file without line ends cannot fill the memory; a cut line is a broken one.
    lines = iter(lambda: text.readline(_MAX_LINE_BYTES), b"")
    try:
        yield from ndjson.read(lines, file=path, on_bad=on_bad)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        damage = UserError(f"{path}: damaged or truncated gzip file ({error})")
        if on_bad is None:
            raise damage from error
        on_bad(damage)


def _ndjson_tables(
    stream: BufferedIOBase,
    path: str,
    class_names: Sequence[str],
    labelled: bool,
    origin: bool,
    keep: Keep | None,
    on_bad: OnBad | None,
) -> Iterator[pa.Table]:
    index_of = {name: index for index, name in enumerate(class_names)}

    def class_index(drawing: ndjson.Drawing) -> int | None:
        index = index_of.get(drawing.word or "")
        if index is not None or not labelled:
            return table.UNKNOWN_CLASS if index is None else index
        error = UserError(
            f"{path}:{drawing.line_number}: "
            + (
                f"the word {drawing.word!r} is not in the class list of {len(class_names)} names"
                if drawing.word
                else "it has no word: it can be classified, not trained on"
            )
        )
        if on_bad is None:
            raise error
        on_bad(error)
        return None

    drawings = (d for d in _ndjson_drawings(stream, path, on_bad) if keep is None or keep(d))
    usable = ((d, index) for d in drawings if (index := class_index(d)) is not None)
    while batch := list(islice(usable, _ROWS)):
        rows = table.from_inks([d.ink for d, _ in batch], [i for _, i in batch], class_names)
        if origin:
            numbers = np.array([d.line_number - 1 for d, _ in batch], np.int64)
            keys, words = [d.key_id for d, _ in batch], [d.word for d, _ in batch]
            rows = table.with_origin(rows, path, numbers, keys, words)
        yield rows
