"""The official ndjson files of Quick, Draw!, one drawing a line, as ink.

Format: https://github.com/googlecreativelab/quickdraw-dataset. A stroke of a simplified drawing is
[[x, ...], [y, ...]], a stroke of a raw one [[x, ...], [y, ...], [t, ...]]. The other forms of
`rnnray.sketch.data.canvas` are read, too. Records of other formats with the same fields become
drawings here as well.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as pj

from rnnray.errors import UserError
from rnnray.sketch.data.canvas import Layout, drawing_to_ink, with_layouts
from rnnray.sketch.data.ink_batches import inks_of_column

OnBad = Callable[[UserError], None]
_Item = TypeVar("_Item")

_CHUNK_LINES = 1024
_CHUNK_BYTES = 1 << 20
_PARSE_OPTIONS = pj.ParseOptions(
    explicit_schema=pa.schema(
        [
            pa.field("word", pa.string()),
            pa.field("key_id", pa.string()),
            pa.field("recognized", pa.bool_()),
            pa.field("drawing", pa.list_(pa.list_(pa.list_(pa.int64())))),
        ]
    ),
    unexpected_field_behavior="ignore",
)
# As a drawing that is certain to be lists of x and y, for `with_layouts`.
_LISTS = [[[0] * 4] * 2]


class Drawing(NamedTuple):
    """One line of an ndjson file, or one record of another format with words."""

    word: str | None
    """The class that the player was asked to draw; None where none is given, or only spaces."""
    key_id: str | None
    """The drawing's unique number in the data set; None where the record does not say."""
    ink: npt.NDArray[np.float32]
    """[n, 3], see `rnnray.sketch.data.ink.strokes_to_ink`."""
    line_number: int
    """Number of the line or record in its file, from 1; blank lines and bad ones count."""
    recognized: bool | None
    """Whether the game recognised it; None where the record does not say."""


class Record(NamedTuple):
    """A record that is to become a drawing."""

    number: int
    """From 1."""
    fields: Any
    """word, key_id, drawing and others, as parsed; not looked at where `drawing` is there."""
    drawing: Drawing | None = None
    """What it has become already."""
    layout: Layout | None = None
    """How its strokes are read, where the format says it."""


def read(stream: Iterable[bytes], *, file: str, on_bad: OnBad | None = None) -> Iterator[Drawing]:
    """The drawings of an ndjson file, a thousand lines in memory at a time.

    Blank lines are skipped.

    Args:
        stream: the file's lines, such as the file opened in binary mode.
        file: the file's name, for messages.
        on_bad: receives the error of each line that is not a drawing, and reading goes on.

    Raises:
        UserError: a line that is not a drawing, if there is no `on_bad`.
    """

    def bad(number: int, error: UserError) -> None:
        report(_of_line(error, file, number), on_bad)

    def records() -> Iterator[Record]:
        lines = ((number, line) for number, line in enumerate(stream, start=1) if line.strip())
        for chunk in chunks(lines, lambda item: len(item[1])):
            for (number, line), drawing in zip(chunk, parse_simplified(chunk), strict=True):
                try:
                    yield Record(number, None if drawing else load_json(line), drawing)
                except UserError as error:
                    bad(number, error)

    yield from to_drawings(records(), bad)


def to_drawings(
    records: Iterable[Record], bad: Callable[[int, UserError], None]
) -> Iterator[Drawing]:
    """The records of one file as drawings, in order.

    Args:
        records: of the file; what can be read both as lists and as points is read like the rest.
        bad: takes the number and the error of a record that is no drawing.
    """
    for record, layout in with_layouts(records, _layout_of):
        if record.drawing is not None:
            yield record.drawing
            continue
        try:
            yield _drawing(record.fields, record.number, record.layout or layout)
        except UserError as error:
            bad(record.number, error)


def report(error: UserError, on_bad: OnBad | None) -> None:
    """Hand over an error, or raise it where nobody takes it."""
    if on_bad is None:
        raise error
    on_bad(error)


def chunks(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Up to 1,024 items, or a megabyte of them, together; also those before an error."""
    chunk: list[_Item] = []
    total = 0
    try:
        for item in items:
            chunk.append(item)
            total += size(item)
            if len(chunk) == _CHUNK_LINES or total > _CHUNK_BYTES:
                yield chunk
                chunk, total = [], 0
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def parse_simplified(lines: Sequence[tuple[int, bytes]]) -> list[Drawing | None]:
    """Those of some numbered lines that are certainly simplified drawings; None for the others.

    Parsed by Arrow and converted together, several times as fast as `parse_line`, with the same
    result.
    """
    nothing: list[Drawing | None] = [None] * len(lines)
    stripped = [line.strip() for _, line in lines]
    # Arrow would also take an object over several lines, or two on one.
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in stripped):
        return nothing
    content = b"\n".join(stripped)
    try:
        table = pj.read_json(
            pa.BufferReader(content),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(content) + 1),
            parse_options=_PARSE_OPTIONS,
        )
        columns = [table[name].to_pylist() for name in ("word", "key_id", "recognized")]
    # UnicodeDecodeError is a ValueError, as is pa.ArrowInvalid; what is wrong, `parse_line` says.
    except (ValueError, pa.ArrowException):
        return nothing
    if len(table) != len(lines):
        return nothing
    inks = inks_of_column(table["drawing"].combine_chunks())
    numbers = (number for number, _ in lines)
    return [
        None if ink is None else Drawing((word or "").strip() or None, key, ink, number, recognized)
        for number, ink, word, key, recognized in zip(numbers, inks, *columns, strict=True)
    ]


def parse_line(line: bytes | str, *, file: str, line_number: int) -> Drawing:
    """One line of an ndjson file by itself; see `rnnray.sketch.data.canvas.drawing_to_ink`.

    Raises:
        UserError: the line is not a drawing; the message begins with ``file:line_number``.
    """
    try:
        return _drawing(load_json(line), line_number, None)
    except UserError as error:
        raise _of_line(error, file, line_number) from error


def load_json(text: bytes | str) -> Any:
    """Parse JSON; raises `UserError` for what is broken."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"broken JSON at column {error.colno} ({error.msg})") from error
    # Text that is not UTF-8, an integer of thousands of digits; brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise UserError(f"broken JSON ({error})") from error


def _of_line(error: UserError, file: str, line_number: int) -> UserError:
    return UserError(f"{file}:{line_number}: {error}; correct the line or remove it")


def _layout_of(record: Record) -> Any:
    if record.drawing is not None or record.layout == "lists":
        return _LISTS
    return record.fields.get("drawing") if isinstance(record.fields, dict) else None


def _drawing(fields: Any, number: int, layout: Layout | None) -> Drawing:
    if not isinstance(fields, dict):
        raise UserError('a drawing must be a JSON object with the field "drawing"')
    if "drawing" not in fields:
        raise UserError('the field "drawing" is missing')
    recognized = fields.get("recognized")
    return Drawing(
        word=(_text(fields, "word") or "").strip() or None,
        key_id=_text(fields, "key_id"),
        ink=drawing_to_ink(fields["drawing"], layout=layout),
        line_number=number,
        recognized=recognized if isinstance(recognized, bool) else None,
    )


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    # The format's document calls `key_id` an integer, the files hold a string of its digits.
    if name == "key_id" and type(value) is int:
        return str(value)
    if value is not None and not isinstance(value, str):
        raise UserError(f'the field "{name}" must be a string')
    # JSON can hold half of a surrogate pair ("\ud800"), which Arrow and every file would refuse.
    if value is not None and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise UserError(f'the field "{name}" holds half of a surrogate pair')
    return value
