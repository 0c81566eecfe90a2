"""Windows of series: the days that a forecaster reads, missing ones filled, and the days after.

A table of windows has a row a window:

    name    string
    day     int32, the first day to forecast, since 1970-01-01
    values  list [window_days + horizon_days] of float32: scaled by the days that are read, so that
            nothing of the days to forecast is known; 0 where a day to forecast is unknown
    known   list [window_days + horizon_days] of uint8: 1 for days that have a value of their own
    mean    float64: of the days that are read
    scale   float64: their standard deviation, but at least a hundredth of the mean
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.forecast.data import series_table
from rnnray.forecast.data.series_table import Values
from rnnray.forecast.forecast_config import ForecastModelConfig

_SERIES_A_TABLE = 64
WEEK = 7


def tables(
    series: pa.Table,
    config: ForecastModelConfig,
    days: range,
    *,
    most: int = 0,
    seed: int = 0,
) -> Iterator[pa.Table]:
    """Yield the windows whose days to forecast all lie in a range; the days before may be earlier.

    Windows of which no day to forecast is known are left out.

    Args:
        series: a series table.
        config: the lengths.
        days: days since 1970-01-01.
        most: most windows of a series, drawn at random from `seed` and its name; 0 for all.
        seed: seed of the draw.
    """
    for start in range(0, len(series), _SERIES_A_TABLE):
        rows = []
        for name, first_day, values in series_table.each(series.slice(start, _SERIES_A_TABLE)):
            low = max(config.window_days, days.start - first_day)
            high = min(len(values), days.stop - first_day) - config.horizon_days
            at = np.arange(low, high + 1)
            if most and len(at) > most:
                random = np.random.default_rng((seed, zlib.crc32(name.encode())))
                at = np.sort(random.choice(at, most, replace=False))
            rows.append(_of_series(name, first_day, values, at, config))
        table = pa.concat_tables(rows)
        yield table.filter(known_ahead(table, config).any(axis=1))


def last(series: pa.Table, config: ForecastModelConfig) -> pa.Table:
    """Return the window at the end of each series that is as long as one; its future is unknown."""
    rows = [
        _of_series(name, first_day, values, np.array([len(values)]), config)
        for name, first_day, values in series_table.each(series)
        if len(values) >= config.window_days
    ]
    return pa.concat_tables([_empty(config), *rows])


def matrix(windows: pa.Table, name: str) -> npt.NDArray[np.float32]:
    """Return a column of lists: float32 [rows, length]."""
    column = windows[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no rows
        return np.zeros((0, column.type.list_size), np.float32)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    shape = len(windows), column.type.list_size
    lists: npt.NDArray[np.float32] = flat.reshape(shape).astype(np.float32)
    return lists


def unscaled(windows: pa.Table, scaled: npt.NDArray[np.floating[Any]]) -> Values:
    """Return values of windows, scaled [rows, ...], in the unit of their series."""
    mean, scale = (windows[name].to_numpy()[:, None] for name in ("mean", "scale"))
    values: Values = mean + scale * scaled
    return values


def known_ahead(windows: pa.Table, config: ForecastModelConfig) -> npt.NDArray[np.bool_]:
    """Return which days to forecast are known: bool [rows, horizon_days]."""
    known: npt.NDArray[np.bool_] = matrix(windows, "known")[:, config.window_days :] > 0
    return known


def last_week(values: Values, window_days: int, horizon_days: int) -> Values:
    """Return the naive forecast: the same weekday of the last week that is read.

    Args:
        values: [rows, window_days + ...].
        window_days: number of days that are read.
        horizon_days: number of days to forecast.

    Returns:
        [rows, horizon_days].
    """
    return values[:, window_days - WEEK + np.arange(horizon_days) % WEEK]


def filled(values: Values) -> Values:
    """Return values in which a missing day has the value of the week before, or the day before."""
    values = values.copy()
    for index in np.flatnonzero(np.isnan(values)):
        values[index] = values[index - WEEK] if index >= WEEK else values[index - 1]
    return values


def _of_series(
    name: str,
    first_day: int,
    values: Values,
    at: npt.NDArray[np.int64],
    config: ForecastModelConfig,
) -> pa.Table:
    """Return the windows of a series whose days to forecast begin at some of its days."""
    if not len(at):
        return _empty(config)
    window, length = config.window_days, config.window_days + config.horizon_days
    unknown = np.full(config.horizon_days, np.nan)
    parts = []
    for each in (np.concatenate([filled(values), unknown]), np.concatenate([values, unknown])):
        parts.append(np.lib.stride_tricks.sliding_window_view(each, length)[at - window])
    rows, own = parts
    mean, deviation = rows[:, :window].mean(axis=1), rows[:, :window].std(axis=1)
    scale = np.maximum(deviation, np.abs(mean) / 100)
    scale[scale == 0] = 1
    scaled = (rows - mean[:, None]) / scale[:, None]
    return pa.table(
        [
            pa.array([name] * len(at)),
            pa.array((first_day + at).astype(np.int32)),
            _lists(np.nan_to_num(scaled).astype(np.float32)),
            _lists((~np.isnan(own)).astype(np.uint8)),
            pa.array(mean),
            pa.array(scale),
        ],
        schema=_schema(length),
    )


def _schema(length: int) -> pa.Schema:
    return pa.schema(
        [
            ("name", pa.string()),
            ("day", pa.int32()),
            ("values", pa.list_(pa.float32(), length)),
            ("known", pa.list_(pa.uint8(), length)),
            ("mean", pa.float64()),
            ("scale", pa.float64()),
        ]
    )


def _empty(config: ForecastModelConfig) -> pa.Table:
    return _schema(config.window_days + config.horizon_days).empty_table()


def _lists(matrix: npt.NDArray[np.generic]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(matrix.reshape(-1), matrix.shape[1])
