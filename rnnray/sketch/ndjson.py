"""The official ndjson files of Quick, Draw!, one drawing a line, as ink.

Format: https://github.com/googlecreativelab/quickdraw-dataset. A stroke of a simplified drawing is
[[x, ...], [y, ...]], a stroke of a raw one [[x, ...], [y, ...], [t, ...]]. The other forms of
`rnnray.sketch.canvas` are read, too.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.sketch.canvas import Layout, drawing_to_ink, with_layouts


@dataclass(frozen=True, eq=False)
class Drawing:
    """One line of an ndjson file."""

    word: str | None
    """The class that the player was asked to draw; None where the line does not say, or says ""."""
    key_id: str | None
    """The drawing's unique number in the data set; None where the line does not say."""
    ink: npt.NDArray[np.float32]
    """[n, 3], see `rnnray.sketch.ink.strokes_to_ink`."""
    line_number: int
    """Where in its file it stands, from 1; blank lines and bad ones count."""
    recognized: bool | None
    """Whether the game recognised it; None where the line does not say."""


def read(
    stream: Iterable[bytes], *, file: str, on_bad: Callable[[UserError], None] | None = None
) -> Iterator[Drawing]:
    """The drawings of an ndjson file, one line in memory at a time. Blank lines are skipped.

    Args:
        stream: the file's lines, such as the file opened in binary mode.
        file: the file's name, for messages.
        on_bad: receives the error of each line that is not a drawing, and reading goes on.

    Raises:
        UserError: a line that is not a drawing, if there is no `on_bad`.
    """

    def refuse(error: UserError, line_number: int) -> None:
        problem = _of_line(error, file, line_number)
        if on_bad is None:
            raise problem from error
        on_bad(problem)

    def lines() -> Iterator[tuple[int, dict[str, Any]]]:
        for line_number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                fields = _load(line)
            except UserError as error:
                refuse(error, line_number)
                continue
            yield line_number, fields

    for (line_number, fields), layout in with_layouts(lines(), lambda item: item[1].get("drawing")):
        try:
            drawing = _drawing(fields, line_number, layout)
        except UserError as error:
            refuse(error, line_number)
            continue
        yield drawing


def parse_line(line: bytes | str, *, file: str, line_number: int) -> Drawing:
    """One line of an ndjson file by itself; see `rnnray.sketch.canvas.drawing_to_ink`.

    Raises:
        UserError: the line is not a drawing; the message begins with ``file:line_number``.
    """
    try:
        return _drawing(_load(line), line_number, None)
    except UserError as error:
        raise _of_line(error, file, line_number) from error


def _of_line(error: UserError, file: str, line_number: int) -> UserError:
    return UserError(f"{file}:{line_number}: {error}; correct the line or remove it")


def _drawing(fields: dict[str, Any], line_number: int, layout: Layout | None) -> Drawing:
    if "drawing" not in fields:
        raise UserError('the field "drawing" is missing')
    recognized = fields.get("recognized")
    return Drawing(
        word=(_text(fields, "word") or "").strip() or None,
        key_id=_text(fields, "key_id"),
        ink=drawing_to_ink(fields["drawing"], layout=layout),
        line_number=line_number,
        recognized=recognized if isinstance(recognized, bool) else None,
    )


def _load(line: bytes | str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"broken JSON at column {error.colno} ({error.msg})") from error
    # Text that is not UTF-8, an integer of thousands of digits; brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise UserError(f"broken JSON ({error})") from error
    if not isinstance(fields, dict):
        raise UserError('a line must be a JSON object with the field "drawing"')
    return fields


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
