"""Quick, Draw!'s own binary files (`full/binary/*.bin`): simplified drawings of one category.

Format:
    https://github.com/googlecreativelab/quickdraw-dataset/blob/master/examples/binary_file_parser.py.
Little-endian: uint64 key_id, two letters of a country, int8 recognized, uint32 timestamp, uint16
strokes; a stroke is uint16 n, n bytes x, n bytes y.
"""

import struct
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, NamedTuple

import pyarrow as pa

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.ink_batches import inks_of_column
from rnnray.sketch.data.ndjson import Drawing, Record, chunks, to_drawings

_HEADER = struct.Struct("<Q2sbIH")
_COUNT = struct.Struct("<H")
_COLUMN = pa.list_(pa.list_(pa.list_(pa.uint8())))


def looks_like(head: bytes) -> bool:
    """Return whether a file of this format can begin with these bytes.

    It begins with a whole drawing, then another one or the end.
    """
    end = _end_of_drawing(head, 0)
    return end is not None and (end == len(head) or _header(head, end) is not None)


def read(
    stream: BufferedIOBase,
    *,
    file: str,
    word: str | None,
    on_bad: OnBad | None = None,
) -> Iterator[Drawing]:
    """Yield the drawings of a file, numbered from 1.

    Args:
        stream: the file.
        file: its name, for messages.
        word: the category, which the file does not contain.
        on_bad: takes the error of each drawing that cannot be used. Damage ends the reading,
            because it hides the beginning of the next drawing.

    Raises:
        UserError: damage, or a drawing that cannot be used, without `on_bad`.
    """

    def bad(number: int, error: UserError) -> None:
        report(UserError(f"{file}: drawing {number}: {error}"), on_bad)

    def records() -> Iterator[Record]:
        for chunk in chunks(_drawings(stream, file), lambda drawing: drawing.bytes):
            inks = inks_of_column(pa.array([drawing.strokes for drawing in chunk], _COLUMN))
            for (number, key_id, recognized, strokes, _), ink in zip(chunk, inks, strict=True):
                drawing = None if ink is None else Drawing(word, key_id, ink, number, recognized)
                fields: dict[str, Any] = {"word": word, "key_id": key_id, "recognized": recognized}
                yield Record(number, fields | {"drawing": strokes}, drawing, "lists")

    try:
        yield from to_drawings(records(), bad)
    except _DamageError as error:
        report(UserError(str(error)), on_bad)


class _DamageError(UserError):
    """Damage that hides the beginning of the next drawing."""


class _Strokes(NamedTuple):
    number: int
    key_id: str
    recognized: bool
    strokes: list[list[list[int]]]
    bytes: int


def _drawings(stream: BufferedIOBase, file: str) -> Iterator[_Strokes]:
    number = offset = 0
    while head := stream.read(_HEADER.size):
        number += 1
        where = f"{file}: drawing {number} at byte {offset}"
        fields = _header(head, 0)
        if fields is None:
            raise _DamageError(f"{where}: damaged or truncated; fetch the file again")
        strokes = []
        begin = offset
        offset += len(head)
        for _ in range(fields[4]):
            count = stream.read(_COUNT.size)
            points = _COUNT.unpack(count)[0] if len(count) == _COUNT.size else 0
            xy = stream.read(2 * points)
            if len(count) < _COUNT.size or len(xy) < 2 * points:
                raise _DamageError(f"{where}: truncated; fetch the file again")
            offset += len(count) + len(xy)
            strokes.append([list(xy[:points]), list(xy[points:])])
        yield _Strokes(number, str(fields[0]), bool(fields[2]), strokes, offset - begin)


def _header(data: bytes, offset: int) -> tuple[int, bytes, int, int, int] | None:
    """Return the fields of a drawing's header, or None if there can be none."""
    if len(data) < offset + _HEADER.size:
        return None
    fields: tuple[int, bytes, int, int, int] = _HEADER.unpack_from(data, offset)
    letters = fields[1].isalpha() and fields[1].isupper()
    return fields if (letters or fields[1] == b"\0\0") and fields[2] in (0, 1) else None


def _end_of_drawing(data: bytes, offset: int) -> int | None:
    fields = _header(data, offset)
    if fields is None or not fields[4]:
        return None
    offset += _HEADER.size
    for _ in range(fields[4]):
        if len(data) < offset + _COUNT.size:
            return None
        offset += _COUNT.size + 2 * _COUNT.unpack_from(data, offset)[0]
    return offset if offset <= len(data) else None
