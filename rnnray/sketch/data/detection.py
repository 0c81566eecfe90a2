"""The format of a file of drawings, recognised by its content."""

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
    where = path if member is None else f"{path}/{member}"
    head = _head(filesystem, path, member)
    what = f"no drawings that can be read; known formats: {KNOWN}"
    if head[:4] == b"PAR1":
        with open_content(filesystem, path, member) as stream:
            columns = parquet_file.open_parquet(stream, where).schema_arrow.names
        what = f"no column 'ink' and no column 'drawing'; the columns are {columns}"
    elif head[257:262] == b"ustar":
        what = "a tar archive; unpack it and use the folder"
    elif head[:6] == b"\x93NUMPY":
        what = "an array of numbers without strokes; bitmaps cannot be read as drawings"
    elif head.lstrip()[:1] in (b"{", b"["):
        what = f'JSON without a field "drawing"; known formats: {KNOWN}'
    elif not head:
        what = "an empty file"
    raise UserError(f"{where}: {what}")


def recognise(filesystem: fs.FileSystem, path: str, member: str | None = None) -> Format | None:
    """Return the format of a file, or None for a file without drawings.

    Args:
        filesystem: see `detect`.
        path: see `detect`.
        member: see `detect`.
    """
    head = _head(filesystem, path, member)
    return _by_content(filesystem, path, member, head) or _by_name(member or path, head)


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
    return "csv" if kaggle_csv.header_of(text.partition(b"\n")[0]) else None


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
    if json_document.FIRST_ARRAY.match(text) or not (line.endswith(b"}") or b'"drawing"' in line):
        return "json"
    return "ndjson"


def _by_name(path: str, head: bytes) -> Format | None:
    """Return the format by the name, for damaged or empty files."""
    name = PurePosixPath(path).name.lower()
    if ".tfrecord" in name:
        return "tfrecords"
    if ".ndjson" in name or (".jsonl" in name and b'"drawing"' in head):
        return "ndjson"
    return "parquet" if ".parquet" in name and head[:4] != b"PAR1" else None
