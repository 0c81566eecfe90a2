"""Drawings as CSV, as in Kaggle's Quick, Draw! competition.

Columns `drawing` (JSON text), `word`, `key_id` and `recognized` (True, 1 or yes), in any order,
perhaps with others: https://www.kaggle.com/c/quickdraw-doodle-recognition/data. The test file has
no `word`.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.ndjson import (
    Drawing,
    Record,
    chunks,
    load_json,
    parse_simplified,
    recognition_of,
    to_drawings,
)

_DELIMITERS = ",;\t|"
_MAX_FIELD_BYTES = 64 << 20

_BEFORE_HEADER = re.compile(rb"(sep=.)?")

_Row = tuple[int, str | None, str | None, bool | None, str]


def header_of(line: bytes) -> tuple[list[str], str] | None:
    """Return the columns, in small letters, and delimiter of CSV with a column `drawing`.

    None for other text.
    """
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace").lower()
    if "drawing" not in text:
        return None
    for delimiter in _DELIMITERS:
        try:
            columns = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
        except csv.Error:  # not text at all
            return None
        if len(columns) > 1 and "drawing" in columns:
            return columns, delimiter
    return None


def is_before_header(line: bytes) -> bool:
    """Return whether a line may stand before the header: a blank one, or Excel's `sep=,`."""
    return bool(_BEFORE_HEADER.fullmatch(line.removeprefix(b"\xef\xbb\xbf").strip().lower()))


def read(stream: Iterable[bytes], *, file: str, on_bad: OnBad | None = None) -> Iterator[Drawing]:
    """Yield the drawings of a CSV file, in order, numbered by the line on which each ends.

    Args:
        stream: the file's lines, UTF-8.
        file: the file's name, for messages.
        on_bad: takes the error of each row that is not a drawing, and reading goes on.

    Raises:
        UserError: no header with a column `drawing`; or a row that is not a drawing, without
            `on_bad`.
    """

    def bad(line: int, error: UserError) -> None:
        report(UserError(f"{file}:{line}: {error}; correct the row or remove it"), on_bad)

    def records() -> Iterator[Record]:
        rows = _rows(lines, columns, delimiter, first, bad)
        for chunk in chunks(rows, lambda row: len(row[-1])):
            found = parse_simplified([(row[0], _as_ndjson(*row[1:])) for row in chunk])
            for (line, word, key_id, recognized, text), drawing in zip(chunk, found, strict=True):
                try:
                    strokes = None if drawing else load_json(text)
                except UserError as error:
                    bad(line, error)
                    continue
                fields = {"word": word, "key_id": key_id, "recognized": recognized}
                yield Record(line, fields | {"drawing": strokes}, drawing)

    lines = iter(stream)
    first, line = next(
        (each for each in enumerate(lines, start=1) if not is_before_header(each[1])), (1, b"")
    )
    header = header_of(line)
    if header is None:
        raise UserError(f'{file}:{first}: CSV without a column "drawing" in its first line')
    columns, delimiter = header
    yield from to_drawings(records(), bad)


def _rows(
    lines: Iterable[bytes],
    columns: list[str],
    delimiter: str,
    header_line: int,
    bad: Callable[[int, UserError], None],
) -> Iterator[_Row]:
    """Yield line, word, key_id, recognized and drawing of each row as long as the header."""
    indices = [
        columns.index(name) if name in columns else None
        for name in ("word", "key_id", "recognized")
    ]
    drawing = columns.index("drawing")
    csv.field_size_limit(_MAX_FIELD_BYTES)
    # Bytes that are not UTF-8 become halves of surrogate pairs, which no word may have.
    text = (line.decode("utf-8", errors="surrogateescape") for line in lines)
    reader = csv.reader(text, delimiter=delimiter)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            bad(reader.line_num + header_line, UserError(f"broken CSV ({error})"))
            continue
        if row is None:
            return
        if len(row) == len(columns):
            word, key_id, said = (None if index is None else row[index] for index in indices)
            yield reader.line_num + header_line, word, key_id, recognition_of(said), row[drawing]
        elif row:
            what = UserError(f"{len(row)} fields, but {len(columns)} in the header")
            bad(reader.line_num + header_line, what)


def _as_ndjson(
    word: str | None, key_id: str | None, recognized: bool | None, drawing: str
) -> bytes:
    said = json.dumps({"word": word, "key_id": key_id, "recognized": recognized})
    line = f'{said[:-1]},"drawing":{drawing}}}'
    return line.replace("\n", " ").encode("utf-8", errors="surrogateescape")
