"""Drawings in one JSON document: an array of them, an object with such an array, or one drawing.

Elements are read one at a time, so that a large array streams like ndjson.
"""

import re
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.ndjson import Drawing, Record, load_json, to_drawings

_CHUNK_BYTES = 1 << 20
# A drawing has a few kilobytes, a raw one hundreds of them.
_LARGEST_ELEMENT = 64 << 20
_SEPARATOR = re.compile(rb"[ \t\r\n]*,?[ \t\r\n]*")
_FIRST_ARRAY = re.compile(rb'\s*(?:\{\s*"(?:drawings|data|examples|items)"\s*:\s*)?\[')
# Under any key, also after others, if its first object has a drawing.
_ARRAY_OF_DRAWINGS = re.compile(rb'"\s*:\s*\[(?=\s*\{[^{}\[\]]*"drawing"\s*:)')
_DRAWING = b'"drawing"'


def first_array(text: bytes) -> int | None:
    """Return where the first element of a document's array of drawings begins; None for none."""
    found = _FIRST_ARRAY.match(text)
    if found is None and text.lstrip().startswith(b"{"):
        found = _ARRAY_OF_DRAWINGS.search(text)
    return None if found is None else found.end()


def read(stream: BufferedIOBase, *, file: str, on_bad: OnBad | None = None) -> Iterator[Drawing]:
    """Yield the drawings of a document, numbered from 1.

    Args:
        stream: the document, UTF-8, with or without a byte-order mark.
        file: its name, for messages.
        on_bad: takes the error of each element that is not a drawing; broken JSON still ends the
            reading.

    Raises:
        UserError: an element that is not a drawing, or broken JSON, without `on_bad`.
    """

    def bad(number: int, error: UserError) -> None:
        report(UserError(f"{file}: drawing {number}: {error}; correct it or remove it"), on_bad)

    def records() -> Iterator[Record]:
        number = 0
        try:
            for number, (element,) in enumerate(_elements(stream), start=1):
                yield Record(number, element)
        except UserError as error:
            bad(number + 1, error)

    yield from to_drawings(records(), bad)


def _elements(stream: BufferedIOBase) -> Iterator[tuple[Any]]:
    """Yield each element, parsed, in a tuple of one."""
    buffer = stream.read(_CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf")
    position = first_array(buffer)
    if position is None:
        buffer += stream.read(_LARGEST_ELEMENT)
        yield (load_json(buffer),)
        return
    ended = False
    while True:
        separator = _SEPARATOR.match(buffer, position)
        position = separator.end() if separator else position
        if buffer[position : position + 1] == b"]":
            _check_rest(buffer[position:], stream)
            return
        end = _end_of_object(buffer, position)
        if end is not None:
            yield (load_json(buffer[position:end]),)
            position = end
            continue
        if ended or len(buffer) - position > _LARGEST_ELEMENT:
            raise UserError("broken JSON (the array or an object in it does not end)")
        # Doubles the buffer, so that a long element is scanned only a few times.
        more = stream.read(max(_CHUNK_BYTES, len(buffer) - position))
        ended = not more
        buffer, position = buffer[position:] + more, 0


def _check_rest(rest: bytes, stream: BufferedIOBase) -> None:
    """Refuse drawings after the array, which would be lost."""
    while _DRAWING not in rest:
        more = stream.read(_CHUNK_BYTES)
        if not more:
            return
        rest = rest[-len(_DRAWING) :] + more
    raise UserError("more drawings after the end of their array; write all of them in one array")


_MARKS = re.compile(rb'["{}]')
_END_OF_STRING = re.compile(rb'(?:[^"\\]|\\.)*+"', re.DOTALL)


def _end_of_object(buffer: bytes, position: int) -> int | None:
    """Return the end of the object that begins at `position`; None if not within the buffer.

    Raises:
        UserError: something other than an object begins there.
    """
    if position < len(buffer) and buffer[position : position + 1] != b"{":
        raise UserError('an array of drawings must hold JSON objects with the field "drawing"')
    depth = 0
    while mark := _MARKS.search(buffer, position):
        position = mark.end()
        if mark[0] == b'"':
            string = _END_OF_STRING.match(buffer, position)
            if string is None:
                return None
            position = string.end()
        else:
            depth += 1 if mark[0] == b"{" else -1
            if depth == 0:
                return position
    return None
