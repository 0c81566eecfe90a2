"""One file of drawings, in any known format -> sketch tables.

A new format needs a module that reads it, its name in `detection.Format` and `detection.KNOWN`, its
recognition by content in `detection`, and its reader in `read_drawings` or `read_tables`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from pyarrow import fs

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data import (
    huggingface,
    json_document,
    kaggle_csv,
    ndjson,
    parquet_file,
    quickdraw_binary,
    sketch_rnn,
    sketch_table,
    svg,
    tfrecords,
)
from rnnray.sketch.data.detection import Format, detect
from rnnray.sketch.data.tfrecord_file import count_records
from rnnray.sketch.data.unpacking import open_content

__all__ = ["WITH_WORDS", "Format", "Keep", "detect"]

WITH_WORDS: frozenset[Format] = frozenset(
    {"ndjson", "json", "csv", "binary", "sketch-rnn", "strokes", "svg"}
)
"""Formats whose drawings have a word, their own or their file's name, and no class_index."""

WITH_RECOGNITION: frozenset[Format] = frozenset({"ndjson", "json", "csv", "strokes", "binary"})
"""Formats whose drawings may say whether the game recognised them."""

# Returns whether to keep a drawing of a file with words.
Keep = Callable[[ndjson.Drawing], bool]

_ROWS = 4096
_MAX_LINE_BYTES = 64 << 20
# Prefixes of the data set's own file names, before their category.
_PREFIXES = ("full_simplified_", "full_raw_", "full_binary_", "full_", "sketchrnn_")
_SUFFIXES = (".full",)


def read_tables(
    filesystem: fs.FileSystem,
    path: str,
    file_format: Format,
    class_names: Sequence[str],
    *,
    member: str | None = None,
    labelled: bool = True,
    origin: bool = False,
    keep: Keep | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[pa.Table]:
    """Read one file as sketch tables of a few thousand rows, streaming.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        file_format: see `detect`.
        class_names: the names that `class_index` indexes.
        member: name of the file within a zip archive at `path`.
        labelled: whether a class outside `class_names` is an error; otherwise it gives
            `sketch_table.UNKNOWN_CLASS`.
        origin: add the columns of each drawing's origin (`sketch_table.ORIGIN_FIELDS`).
        keep: filter of drawings, for the formats with words.
        on_bad: takes the error of a drawing that cannot be used, and reading goes on.

    Raises:
        UserError: a drawing that cannot be used, named by file and offset, line or row.
    """
    name = name_of(path, member)
    if file_format in WITH_WORDS:
        drawings = read_drawings(filesystem, path, file_format, member=member, on_bad=on_bad)
        kept = (drawing for drawing in drawings if keep is None or keep(drawing))
        yield from _tables(kept, name, class_names, labelled, origin, on_bad)
        return
    with open_content(filesystem, path, member) as stream:
        if file_format == "tfrecords":
            yield from tfrecords.read_tables(
                stream, name, class_names, labelled=labelled, origin=origin, on_bad=on_bad
            )
        else:
            yield from parquet_file.read_tables(stream, name, class_names, labelled, origin, on_bad)


def read_drawings(
    filesystem: fs.FileSystem,
    path: str,
    file_format: Format,
    *,
    member: str | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[ndjson.Drawing]:
    """Yield the drawings of a file of one of the formats `WITH_WORDS`, streaming.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        file_format: see `detect`.
        member: name of the file within a zip archive at `path`.
        on_bad: takes the error of a drawing that cannot be used, and reading goes on.

    Raises:
        UserError: a drawing that cannot be used, named by file and line or number.
    """
    name = name_of(path, member)
    if file_format == "svg":
        yield from svg.read(filesystem, path, on_bad=on_bad)
        return
    with open_content(filesystem, path, member) as stream:
        # Bounded, so that a file without line ends cannot fill the memory; a line that is cut is
        # broken.
        lines = iter(lambda: stream.readline(_MAX_LINE_BYTES), b"")
        try:
            if file_format == "ndjson":
                yield from ndjson.read(lines, file=name, on_bad=on_bad)
            elif file_format == "csv":
                yield from kaggle_csv.read(lines, file=name, on_bad=on_bad)
            elif file_format == "json":
                yield from json_document.read(stream, file=name, on_bad=on_bad)
            elif file_format == "binary":
                word = category(member or path)
                yield from quickdraw_binary.read(stream, file=name, word=word, on_bad=on_bad)
            elif file_format == "sketch-rnn":
                yield from sketch_rnn.read(stream, file=name, word=category(path), on_bad=on_bad)
            else:
                parquet = parquet_file.open_parquet(stream, name)
                yield from huggingface.read(parquet, name, on_bad)
        except (OSError, pa.ArrowException) as error:
            damage = UserError(f"{name}: {error}; fetch the file again")
            if on_bad is None:
                raise damage from error
            on_bad(damage)


def count_rows(
    filesystem: fs.FileSystem,
    path: str,
    file_format: Format,
    keep: Keep | None = None,
    member: str | None = None,
) -> int:
    """Return the number of drawings of a file, perhaps with bad ones that a reader would skip.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        file_format: see `detect`.
        keep: filter of drawings, for the formats with words.
        member: name of the file within a zip archive at `path`.
    """
    if file_format in WITH_WORDS:
        drawings = read_drawings(
            filesystem, path, file_format, member=member, on_bad=lambda _: None
        )
        return sum(1 for drawing in drawings if keep is None or keep(drawing))
    with open_content(filesystem, path, member) as stream:
        if file_format == "tfrecords":
            return count_records(stream, name_of(path, member))
        return int(parquet_file.open_parquet(stream, name_of(path, member)).metadata.num_rows)


def class_names_of(
    filesystem: fs.FileSystem,
    path: str,
    default: Sequence[str] | None = None,
    member: str | None = None,
) -> tuple[str, ...] | None:
    """Return the class names in a Parquet file's schema, or else the default.

    None for a file of words without such a list.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        default: names for a file without its own.
        member: name of the file within a zip archive at `path`.

    Raises:
        UserError: the file has no names and needs them.
    """
    with open_content(filesystem, path, member) as stream:
        return parquet_file.class_names_of(stream, name_of(path, member), default)


def name_of(path: str, member: str | None) -> str:
    """Return a file's name for messages: its path, and its name in an archive."""
    return path if member is None else f"{path}/{member}"


def category(path: str) -> str | None:
    """Return the word in the name of a file of one category, such as `full_binary_cat.bin`."""
    name = unquote(PurePosixPath(path).name)
    for suffix in (".gz", ".bz2", ".xz", ".zip"):
        name = name.removesuffix(suffix)
    name = name.rpartition(".")[0] or name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name.strip() or None


def _tables(
    drawings: Iterator[ndjson.Drawing],
    name: str,
    class_names: Sequence[str],
    labelled: bool,
    origin: bool,
    on_bad: OnBad | None,
) -> Iterator[pa.Table]:
    index_of = {word: index for index, word in enumerate(class_names)}

    def class_index(drawing: ndjson.Drawing) -> int | None:
        index = index_of.get(drawing.word or "")
        if index is not None or not labelled:
            return sketch_table.UNKNOWN_CLASS if index is None else index
        problem = (
            "it has no word: it can be classified, but not trained on"
            if drawing.word is None
            else f"the word {drawing.word!r} is not in the class list of {len(class_names)} names"
        )
        error = UserError(f"{name}:{drawing.line_number}: {problem}")
        report(error, on_bad)
        return None

    usable = ((d, index) for d in drawings if (index := class_index(d)) is not None)
    while batch := list(islice(usable, _ROWS)):
        rows = sketch_table.from_inks([d.ink for d, _ in batch], [i for _, i in batch], class_names)
        if origin:
            numbers = np.array([d.line_number - 1 for d, _ in batch], np.int64)
            keys, words = [d.key_id for d, _ in batch], [d.word for d, _ in batch]
            rows = sketch_table.with_origin(rows, name, numbers, keys, words)
        yield rows
