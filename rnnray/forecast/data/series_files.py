"""Files of daily series: CSV and Parquet with a row a day, read into a series table."""

import csv
import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.forecast.data import series_table
from rnnray.forecast.data.series_table import Days, Values
from rnnray.forecast.forecast_config import SeriesConfig

_HEAD_BYTES = 1 << 16
_GROUP_ROWS = 1 << 20  # that are sorted at once
_SHOWN, _SHOWN_TEXT = 10, 50  # columns and characters in a message
_NULLS = ["", "NaN", "nan", "NA", "null"]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# A day; at most with midnight and a time zone, whose own day counts.
_ISO_DAY = r"^(\d{4}-\d{2}-\d{2})([T ]00:00(:00(\.0+)?)?)?( ?(Z|[+-]\d{2}:?\d{2}))?$"
_DAY_AS = "write days as 2026-01-31, one row a day, or give --date-format"

Codes = npt.NDArray[np.int32]
"""The number of each row's series: int32 [rows]."""

_FIRST_DAY, _LAST_DAY = series_table.to_day(date.min), series_table.to_day(date.max)


class _Bad(Exception):  # noqa: N818
    """A row that cannot be used: its number, from 0, and why."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(row, problem)
        self.row, self.problem = row, problem


def is_parquet(filesystem: fs.FileSystem, path: str) -> bool:
    """Return whether a file begins as Parquet does."""
    with filesystem.open_input_stream(path, compression=None) as stream:
        return bool(stream.read(4) == b"PAR1")


def read(filesystem: fs.FileSystem, path: str, config: SeriesConfig) -> Iterator[pa.Table]:
    """Yield the series of a file, of which each is whole in it, as series tables.

    Its rows may be in any order. Reading takes 16 bytes of memory a row, and about 350 MB.

    Args:
        filesystem: the file system.
        path: path of the file.
        config: names of the columns, and how they are read.

    Raises:
        UserError: a column is not there, or a row cannot be used: file, row, column and remedy.
    """
    wanted = [config.date_column, config.value_column, config.name_column]
    columns = [column for column in wanted if column is not None]
    batches: list[tuple[Codes, Days, Values]] = []
    names: dict[str, int] = {}
    row, column = 0, ""
    try:
        parquet = is_parquet(filesystem, path)
        for rows in (_parquet if parquet else _csv)(filesystem, path, columns):
            column = config.date_column
            days = _days(rows[column], config.date_format)
            column = config.value_column
            values = _values(rows[column])
            column = config.name_column or column
            codes = _codes(rows, config.name_column, names, PurePosixPath(path).stem)
            batches.append((codes, days, values))
            row += len(rows)
    except _Bad as bad:
        there = _where(row + bad.row, parquet=parquet)
        raise UserError(f"{path}: {there}: column {column}: {bad.problem}") from bad
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{path}: cannot be read as CSV or Parquet ({line})") from error
    all_names = [*names]
    if not names:
        yield series_table.from_series([])
    for some in _groups(batches, len(names)):
        yield series_table.from_rows(
            all_names,
            *_rows_of(some, batches),
            file=path,
            missing=config.missing,
            where=partial(_where, parquet=parquet),
        )


def _groups(batches: list[tuple[Codes, Days, Values]], count: int) -> Iterator[range]:
    """Yield ranges of series that have few rows together, or a single one that has many."""
    rows = np.zeros(count, np.int64)
    for codes, _, _ in batches:
        rows += np.bincount(codes, minlength=count)
    start, there = 0, 0
    for series, more in enumerate(rows.tolist()):
        if there and there + more > _GROUP_ROWS:
            yield range(start, series)
            start, there = series, 0
        there += more
    if there:
        yield range(start, count)


def _rows_of(
    series: range, batches: list[tuple[Codes, Days, Values]]
) -> tuple[npt.NDArray[np.int64], Codes, Days, Values]:
    """Return the rows of some series: numbers of the rows in the file, codes, days and values."""
    kept = [
        np.flatnonzero((codes >= series.start) & (codes < series.stop)) for codes, _, _ in batches
    ]
    before = np.cumsum([0, *(len(codes) for codes, _, _ in batches)])
    return (
        np.concatenate([rows + start for rows, start in zip(kept, before, strict=False)]),
        np.concatenate([codes[rows] for rows, (codes, _, _) in zip(kept, batches, strict=True)]),
        np.concatenate([days[rows] for rows, (_, days, _) in zip(kept, batches, strict=True)]),
        np.concatenate([values[rows] for rows, (_, _, values) in zip(kept, batches, strict=True)]),
    )


def _where(row: int, *, parquet: bool) -> str:
    return f"row {row + 1}" if parquet else f"line {row + 2}"


def _parquet(filesystem: fs.FileSystem, path: str, columns: list[str]) -> Iterator[pa.Table]:
    with filesystem.open_input_file(path) as stream:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        _check_columns(path, columns, file.schema_arrow.names)
        for batch in file.iter_batches(columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])


def _csv(filesystem: fs.FileSystem, path: str, columns: list[str]) -> Iterator[pa.Table]:
    with filesystem.open_input_stream(path, compression=None) as stream:
        head = stream.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    header = head.partition(b"\n")[0].decode().rstrip("\r")
    delimiter = max(",;\t", key=header.count)
    _check_columns(path, columns, next(csv.reader([header], delimiter=delimiter), []))
    with filesystem.open_input_stream(path, compression=None) as stream:
        batches = pyarrow.csv.open_csv(
            stream,
            pyarrow.csv.ReadOptions(use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=delimiter),
            pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=True,
                null_values=_NULLS,
            ),
        )
        for batch in batches:
            yield pa.Table.from_batches([batch])


def _check_columns(path: str, columns: list[str], there: list[str]) -> None:
    for column in columns:
        if column not in there:
            more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
            names = ", ".join(map(_shown, there[:_SHOWN]))
            raise UserError(
                f"{path}: no column {column!r}, only {names}{more}; name the "
                "columns with --date-column, --value-column and --name-column"
            )


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _days(column: pa.ChunkedArray, form: str | None) -> Days:
    """Return days since 1970-01-01, int32 [rows]."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    for row in _first(pc.is_null(column)):
        raise _Bad(row, "is empty; give the day, or remove the row")
    if _is_text(column):
        days = _days_of_text(column, form)
    elif pa.types.is_timestamp(column.type):
        # The day in the column's own time zone.
        local = pc.local_timestamp(column) if column.type.tz else column
        for row in _first(pc.not_equal(local, pc.floor_temporal(local, unit="day"))):
            raise _Bad(row, f"{column[row]} has a time of day; {_DAY_AS}")
        days = local.cast(pa.date32())
    elif pa.types.is_date(column.type):
        days = column.cast(pa.date32())
    else:
        raise _Bad(0, f"{column.type} is no type of dates; {_DAY_AS}")
    numbers: Days = days.cast(pa.int32()).to_numpy()
    for row in np.flatnonzero((numbers < _FIRST_DAY) | (numbers > _LAST_DAY))[:1]:
        raise _Bad(int(row), "is no day of the years 1 to 9999; correct it")
    return numbers


def _days_of_text(column: pa.ChunkedArray, form: str | None) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    if form is not None:
        parsed = pc.strptime(text, format=form, unit="s", error_is_null=True)
        for row in _first(pc.is_null(parsed)):
            raise _Bad(
                row, f"{_shown(column[row].as_py())} is no date as --date-format {form} has it"
            )
        return parsed.cast(pa.date32())
    for row in _first(pc.invert(pc.match_substring_regex(text, _ISO_DAY))):
        raise _Bad(row, f"{_shown(column[row].as_py())} is no day; {_DAY_AS}")
    text = pc.utf8_slice_codeunits(text, 0, 10)
    try:
        return text.cast(pa.date32())
    except pa.ArrowInvalid:
        for row, day in enumerate(text.to_pylist()):
            try:
                datetime.strptime(day, "%Y-%m-%d")
            except ValueError:
                raise _Bad(row, f"{_shown(day)} is no day of the calendar; correct it") from None
        raise


def _values(column: pa.ChunkedArray) -> Values:
    """Return float64 [rows], NaN for no value."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if _is_text(column):
        column = pc.utf8_trim_whitespace(column)
        try:
            numbers = column.cast(pa.float64())
        except pa.ArrowInvalid:
            for row, text in enumerate(column.to_pylist()):
                if text is not None and not _NUMBER.fullmatch(text):
                    raise _Bad(
                        row, f"{_shown(text)} is no number; correct it, or leave the field empty"
                    ) from None
            raise
    elif pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):
        raise _Bad(0, f"{column.type} is no type of numbers")
    else:
        numbers = column.cast(pa.float64())
    values: Values = pc.fill_null(numbers, np.nan).to_numpy()
    for row in np.flatnonzero(np.isinf(values))[:1]:
        raise _Bad(int(row), "is infinite; correct it, or leave the field empty")
    return values


def _codes(rows: pa.Table, column: str | None, names: dict[str, int], stem: str) -> Codes:
    """Return the number of each row's series in `names`, which grows."""
    if column is None:
        return np.full(len(rows), names.setdefault(stem, 0), np.int32)
    for row in _first(pc.is_null(rows[column])):
        raise _Bad(row, "is empty; name the row's series")
    encoded = rows[column].cast(pa.string()).chunk(0).dictionary_encode()
    numbers = [names.setdefault(name, len(names)) for name in encoded.dictionary.to_pylist()]
    codes: Codes = np.array(numbers, np.int32)[encoded.indices.to_numpy()]
    return codes


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_TEXT])


def _first(flags: pa.ChunkedArray) -> list[int]:
    """Return the number of the first row for which a condition holds, if there is one."""
    row = pc.index(flags, True).as_py()
    return [row] if row >= 0 else []
