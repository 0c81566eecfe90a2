"""Daily series as a table: one row a series, with a value for every day from its first to its last.

name       string
first_day  int32, days since 1970-01-01
values     list of float64; NaN for a missing day
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.errors import UserError
from rnnray.forecast.forecast_config import Missing

Values = npt.NDArray[np.float64]
Days = npt.NDArray[np.int32]

SCHEMA = pa.schema(
    [("name", pa.string()), ("first_day", pa.int32()), ("values", pa.list_(pa.float64()))]
)
_SHOWN = 50  # characters of a name in a message
_LONGEST_GAP = 366  # days; a wrong year would make a series of a million days


_DAY_0 = date(1970, 1, 1)


def to_date(day: int) -> date:
    """Return the date of a number of days since 1970-01-01."""
    return _DAY_0 + timedelta(days=int(day))


def to_day(date_: date) -> int:
    """Return the number of days since 1970-01-01."""
    return (date_ - _DAY_0).days


def from_series(series: list[tuple[str, int, Values]]) -> pa.Table:
    """Return the table of series: name, first day and values of each."""
    names, first_days, values = zip(*series, strict=True) if series else ((), (), ())
    return pa.table([names, first_days, values], schema=SCHEMA)


def each(table: pa.Table) -> Iterator[tuple[str, int, Values]]:
    """Yield the name, first day and values of each series."""
    names, first_days = table["name"].to_pylist(), table["first_day"].to_pylist()
    for name, first_day, values in zip(names, first_days, table["values"], strict=True):
        yield name, first_day, values.values.to_numpy(zero_copy_only=False)


def from_rows(
    names: Sequence[str],
    numbers: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int32],
    days: Days,
    values: Values,
    *,
    file: str,
    missing: Missing,
    where: Callable[[int], str],
) -> pa.Table:
    """Return the series of some of a file's rows, which may be in any order.

    Rows that say the same twice count once.

    Args:
        names: the names of all series.
        numbers: int64 [rows], the number of each row in the file, from 0.
        codes: int32 [rows], the number of each row's series in `names`.
        days: int32 [rows], days since 1970-01-01.
        values: float64 [rows]; NaN counts as no row.
        file: path of the file, for messages.
        missing: see `SeriesConfig`.
        where: from a row's number to its position in the file: "line 2".

    Raises:
        UserError: two values for one day, a missing day with `missing` "error", or a gap of more
            than a year.
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.lexsort((days[known], codes[known]))]
    numbers, codes, days, values = numbers[order], codes[order], days[order], values[order]
    same = codes[1:] == codes[:-1]
    doubled = same & (days[1:] == days[:-1])

    def fail(index: int, problem: str) -> None:
        name = names[codes[index]][:_SHOWN]
        raise UserError(f"{file}: {where(int(numbers[index + 1]))}: {name} has {problem}")

    differing = np.flatnonzero(doubled & (values[1:] != values[:-1]))
    for i in differing[:1]:
        fail(
            i,
            f"a second value for {to_date(days[i])} ({values[i + 1]:g}, and {values[i]:g} on "
            f"{where(int(numbers[i]))}); a daily series has one value a day",
        )
    gaps = np.where(same, np.diff(days) - 1, 0)
    for i in np.flatnonzero(gaps > (0 if missing == "error" else _LONGEST_GAP))[:1]:
        days_without = f"no value from {to_date(days[i] + 1)} to {to_date(days[i + 1] - 1)}"
        if gaps[i] > _LONGEST_GAP:
            fail(i, f"{days_without}, {gaps[i]:,} days; correct the date, or divide the series")
        fail(
            i,
            f"{days_without}; --missing fill reads the week before there, --missing zero reads 0",
        )
    kept = np.concatenate([np.ones(min(1, len(days)), np.bool_), ~doubled])
    codes, days, values = codes[kept], days[kept], values[kept]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    series: list[tuple[str, int, Values]] = []
    for start, end in pairwise([*starts.tolist(), len(codes)]):
        there = days[start:end] - days[start]
        whole = np.full(int(there[-1]) + 1, 0.0 if missing == "zero" else np.nan)
        whole[there] = values[start:end]
        series.append((names[codes[start]], int(days[start]), whole))
    return from_series(series)


def names_of(table: pa.Table) -> list[str]:
    """Return the names of the series."""
    names: list[str] = table["name"].to_pylist()
    return names


def span_of(table: pa.Table) -> tuple[int, int]:
    """Return the first day of all series, and the day after the last."""
    first = table["first_day"].to_numpy()
    lengths: npt.NDArray[Any] = np.array([len(values) for _, _, values in each(table)])
    return int(first.min()), int((first + lengths).max())
