"""Quick, Draw!'s official ndjson files, one drawing a line, as ink.

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

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.canvas import Layout, drawing_to_ink, with_layouts
from rnnray.sketch.data.ink_batches import inks_of_column

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
_RECOGNIZED = {
    **dict.fromkeys(("true", "yes", "t", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "f", "n", "0", "0.0"), False),
}
# A drawing that is unambiguously lists of x and y, for `with_layouts`.
_LISTS = [[[0] * 4] * 2]


class Drawing(NamedTuple):
    """One line of an ndjson file, or one record of another format with words."""

    word: str | None
    """Class that the player was asked to draw; None if absent or only spaces."""
    key_id: str | None
    """The drawing's unique number in the data set; None if absent."""
    ink: npt.NDArray[np.float32]
    """[n, 3], see `rnnray.sketch.data.ink.strokes_to_ink`."""
    line_number: int
    """Number of the line or record in its file, from 1; blank and bad lines count."""
    recognized: bool | None
    """True if the game recognised the drawing; None if absent."""


class Record(NamedTuple):
    """A record that will become a drawing."""

    number: int
    """Number of the record, from 1."""
    fields: Any
    """word, key_id, drawing and others, as parsed; ignored if there is a `drawing`."""
    drawing: Drawing | None = None
    """The finished drawing, if it exists already."""
    layout: Layout | None = None
    """Layout of its strokes, if the format determines it."""


def read(stream: Iterable[bytes], *, file: str, on_bad: OnBad | None = None) -> Iterator[Drawing]:
    """Yield the drawings of an ndjson file, with a thousand lines in memory at a time.

    Skips blank lines.

    Args:
        stream: the file's lines, such as the file opened in binary mode.
        file: the file's name, for messages.
        on_bad: takes the error of each line that is not a drawing, and reading goes on.

    Raises:
        UserError: a line that is not a drawing, without `on_bad`.
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
    """Yield the records of one file as drawings, in order.

    Args:
        records: records of the file; an ambiguous one is read like the rest of the file.
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


def chunks(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Yield lists of up to 1,024 items, or a megabyte of them; also the items before an error."""
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
    """Return the drawings of lines that are certainly simplified ones; None for other lines.

    Arrow parses and converts the lines together, several times as fast as `load_json` one by one,
    with the same result.

    Args:
        lines: line numbers and lines.
    """
    nothing: list[Drawing | None] = [None] * len(lines)
    stripped = [line.strip() for _, line in lines]
    # Arrow would also accept an object over several lines, or two on one.
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
    # UnicodeDecodeError and pa.ArrowInvalid are ValueErrors; `_drawing` reports the problem.
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


def load_json(text: bytes | str) -> Any:
    """Parse JSON; raise `UserError` if it is broken."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"broken JSON at column {error.colno} ({error.msg})") from error
    # Text that is not UTF-8, an integer of thousands of digits, brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise UserError(f"broken JSON ({error})") from error


def recognition_of(value: Any) -> bool | None:
    """Return what a field `recognized` says, as a bool, 1 or 0, or a word; None for nothing."""
    if not isinstance(value, str | int | float):
        return None
    return _RECOGNIZED.get(str(value).strip().lower())


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
    return Drawing(
        word=(_text(fields, "word") or "").strip() or None,
        key_id=_text(fields, "key_id"),
        ink=drawing_to_ink(fields["drawing"], layout=layout),
        line_number=number,
        recognized=recognition_of(fields.get("recognized")),
    )


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    # The format's document calls `key_id` an integer; the files hold a string of its digits.
    if name == "key_id" and type(value) is int:
        return str(value)
    if value is not None and not isinstance(value, str):
        raise UserError(f'the field "{name}" must be a string')
    # JSON can hold half of a surrogate pair ("\ud800"), which Arrow and every file would refuse.
    if value is not None and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise UserError(f'the field "{name}" holds half of a surrogate pair')
    return value
