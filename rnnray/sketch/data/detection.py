"""The format of a file of drawings, recognised by its content."""

import re
from pathlib import PurePosixPath
from typing import Literal

from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data import json_document, kaggle_csv, parquet_file, quickdraw_binary
from rnnray.sketch.data.checksums import is_tfrecord
from rnnray.sketch.data.unpacking import open_content

Format = Literal[
    "tfrecords", "parquet", "ndjson", "json", "csv", "binary", "sketch-rnn", "strokes", "svg"
]
"""`parquet` is Parquet of the sketch table, `strokes` Parquet with a column `drawing`, `binary`
Quick, Draw!'s .bin, `sketch-rnn` an array of an .npz, `json` a single document.
"""

KNOWN = (
    "TFRecords, Parquet, ndjson, a JSON array, CSV with a column drawing, Quick, Draw!'s .bin, "
    "sketch-rnn's .npz, SVG"
)

# Room for the first drawing or two; a raw one has about ten kilobytes.
_HEAD_BYTES = 1 << 16
_MARK = b"\xef\xbb\xbf"  # byte-order mark of UTF-8, which some editors write
# Byte-order marks of UTF-16 and UTF-32.
_OTHER_TEXT = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
# First bytes of packed files, which are refused where they are the content of another one, too.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}
# A row with a drawing, of at least one stroke of a list or two of numbers.
_BARE_ROW = re.compile(rb'[^\[{\n]*"?\[\s*\[\s*\[\s*-?\d')


def detect(filesystem: fs.FileSystem, path: str, member: str | None = None) -> Format:
    """Return the format of a file, by its content, or by its name if the content is damaged.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        member: name of the file within a zip archive at `path`.

    Raises:
        UserError: none of the formats; the message says what it seems to be.
    """
    found = recognise(filesystem, path, member)
    if found is not None:
        return found
    what = explained(filesystem, path, member)
    what = what or f"no drawings that can be read; known formats: {KNOWN}"
    raise UserError(f"{_place(path, member)}: {what}")


def explained(filesystem: fs.FileSystem, path: str, member: str | None = None) -> str | None:
    """Return what a file seems to be in which no format is recognised; None if that is unknown.

    Args:
        filesystem: see `detect`.
        path: see `detect`.
        member: see `detect`.
    """
    head = _head(filesystem, path, member)
    if head[:4] == b"PAR1":
        with open_content(filesystem, path, member) as stream:
            parquet = parquet_file.open_parquet(stream, _place(path, member))
        columns = parquet.schema_arrow.names
        return f"no column 'ink' and no column 'drawing'; the columns are {columns}"
    if head[:6] == b"\x93NUMPY":
        return (
            "an array of numbers, not of one array of strokes for each drawing (dtype object); "
            "bitmaps cannot be read"
        )
    if head.lstrip()[:1] in (b"{", b"["):
        return f'JSON without a field "drawing"; known formats: {KNOWN}'
    return _obstacle(head) if head else "an empty file"


def is_empty(filesystem: fs.FileSystem, path: str, member: str | None = None) -> bool:
    """Return whether a file has no content once it is unpacked.

    Args:
        filesystem: see `detect`.
        path: see `detect`.
        member: see `detect`.
    """
    with open_content(filesystem, path, member) as stream:
        try:
            return not stream.read1(1)
        except OSError:  # damage, which the reader reports
            return False


def recognise(filesystem: fs.FileSystem, path: str, member: str | None = None) -> Format | None:
    """Return the format of a file, or None for a file without drawings.

    Args:
        filesystem: see `detect`.
        path: see `detect`.
        member: see `detect`.

    Raises:
        UserError: a file that is named for a format, and must be unpacked or written as UTF-8.
    """
    head = _head(filesystem, path, member)
    found = _by_content(filesystem, path, member, head)
    if found is not None:
        return found
    found = _by_name(member or path, head)
    if found is not None and (obstacle := _obstacle(head)):
        raise UserError(f"{_place(path, member)}: {obstacle}")
    return found


def _place(path: str, member: str | None) -> str:
    return path if member is None else f"{path}/{member}"


def _obstacle(head: bytes) -> str | None:
    """Return what must be done before a file can be read; None for a file of something else."""
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it and use the folder"
    if head.startswith(b"PK\x05\x06"):
        return "an empty zip archive"
    for magic, kind in _PACKED.items():
        if head.startswith(magic):
            return f"no drawings that can be read: the content is a {kind} file; unpack it first"
    return _obstacle_of_text(head)


def _obstacle_of_text(head: bytes) -> str | None:
    if head.startswith(_OTHER_TEXT):
        return "text that is not UTF-8; save it as UTF-8"
    if b"\r" in head and b"\n" not in head and kaggle_csv.header_of(head.partition(b"\r")[0]):
        return "CSV with old line ends (carriage returns alone); save it with line feeds"
    if _BARE_ROW.match(head):
        return "CSV without names of columns; its first line must name them: drawing,word,key_id"
    return None


def _head(filesystem: fs.FileSystem, path: str, member: str | None) -> bytes:
    with open_content(filesystem, path, member) as stream:
        try:
            return stream.read1(_HEAD_BYTES)
        except OSError:  # damage, which the reader reports with its position
            return b""


def _by_content(
    filesystem: fs.FileSystem, path: str, member: str | None, head: bytes
) -> Format | None:
    if head[:4] == b"PAR1":
        return _kind_of_parquet(filesystem, path, member)
    if is_tfrecord(head):
        return "tfrecords"
    if head[:6] == b"\x93NUMPY":
        return "sketch-rnn" if b"'|O'" in head[:128] else None
    return _kind_of_text(head) or ("binary" if quickdraw_binary.looks_like(head) else None)


def _kind_of_text(head: bytes) -> Format | None:
    text = head.removeprefix(_MARK).lstrip()
    if text[:1] in (b"{", b"["):
        return _kind_of_json(text)
    if text[:1] == b"<":
        return "svg" if b"<svg" in text or b":svg" in text else None
    lines = (line for line in text.split(b"\n") if not kaggle_csv.is_before_header(line))
    return "csv" if kaggle_csv.header_of(next(lines, b"")) else None


def _kind_of_parquet(filesystem: fs.FileSystem, path: str, member: str | None) -> Format | None:
    with open_content(filesystem, path, member) as stream:
        try:
            columns = parquet_file.open_parquet(stream, path).schema_arrow.names
        except UserError:  # damage, which the reader reports
            return "parquet"
    if "ink" in columns:
        return "parquet"
    return "strokes" if "drawing" in columns else None


def _kind_of_json(text: bytes) -> Format | None:
    """Tell a single document from an object a line, by the end of the first line."""
    if b'"drawing"' not in text:
        return None
    line = text.partition(b"\n")[0].rstrip()
    of_lines = line.endswith(b"}") or b'"drawing"' in line
    return "ndjson" if of_lines and json_document.first_array(text) is None else "json"


def _by_name(path: str, head: bytes) -> Format | None:
    """Return the format by the name, for damaged or empty files."""
    name = PurePosixPath(path).name.lower()
    if ".tfrecord" in name:
        return "tfrecords"
    if ".ndjson" in name or (".jsonl" in name and b'"drawing"' in head):
        return "ndjson"
    return "parquet" if ".parquet" in name and head[:4] != b"PAR1" else None
