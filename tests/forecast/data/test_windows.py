"""Windows: nothing of the future in what a forecaster reads, splits by time, missing days."""

import numpy as np
import pyarrow as pa
import pytest

from rnnray.forecast.data import demo_series, series_table, windows
from rnnray.forecast.forecast_config import ForecastModelConfig

MODEL = ForecastModelConfig(window_days=14, horizon_days=7)


def made(values: np.ndarray, days: range = range(1000), *, most: int = 0) -> pa.Table:
    series = series_table.from_series([("a", 0, np.asarray(values, float))])
    return pa.concat_tables(windows.tables(series, MODEL, days, most=most))


def test_the_days_to_forecast_of_a_split_lie_in_it_and_the_days_read_may_be_before() -> None:
    days = made(np.arange(100.0) ** 2, range(40, 60))["day"].to_pylist()
    assert days == list(range(40, 54))  # the last forecasts days 53 to 59


def test_a_window_is_its_days_scaled_by_the_days_that_are_read() -> None:
    values = np.random.default_rng(0).normal(1e6, 10, 60)
    rows = made(values)
    there = windows.unscaled(rows, windows.matrix(rows, "values"))
    for row, found in enumerate(there):
        np.testing.assert_allclose(found, values[row : row + 21], rtol=1e-8)


def test_the_future_changes_nothing_that_is_read() -> None:
    values = np.random.default_rng(0).normal(size=60)
    other = values.copy()
    other[40:] = 1e9
    before, after = made(values, range(40, 47)), made(other, range(40, 47))
    assert before.select(["day", "mean", "scale"]) == after.select(["day", "mean", "scale"])
    read = [windows.matrix(rows, "values")[:, :14] for rows in (before, after)]
    np.testing.assert_array_equal(*read)


def test_constant_days_are_scaled_by_something() -> None:
    for level in (0, 5, -5):
        values = np.full(30, float(level))
        assert np.isfinite(windows.matrix(made(values), "values")).all()


def test_a_missing_day_is_read_as_the_week_before_and_not_forecast() -> None:
    values = np.arange(40.0)
    values[[15, 22]] = np.nan
    rows = made(values, range(16, 30))
    scaled, known = windows.matrix(rows, "values"), windows.matrix(rows, "known")
    # The window from day 2 on reads day 15, which is as day 8.
    assert scaled[0, 13] == scaled[0, 6]
    assert known[0].tolist() == [1] * 13 + [0] + [1] * 6 + [0]
    assert not windows.known_ahead(rows, MODEL)[0, 6]


def test_windows_drawn_at_random_are_some_of_all_and_the_same_again() -> None:
    values = np.random.default_rng(0).normal(size=300)
    some, again = made(values, most=50), made(values, most=50)
    assert some == again
    days = some["day"].to_pylist()
    assert len(set(days)) == 50
    assert set(days) < set(made(values)["day"].to_pylist())


@pytest.mark.parametrize("length", [1, 13, 20])
def test_a_series_shorter_than_a_window_has_none(length: int) -> None:
    assert len(made(np.ones(length))) == 0


def test_the_last_window_ends_with_the_series() -> None:
    series = series_table.from_series(
        [("long", 100, np.arange(30.0)), ("short", 0, np.arange(13.0))]
    )
    rows = windows.last(series, MODEL)
    assert (rows["name"].to_pylist(), rows["day"].to_pylist()) == (["long"], [130])
    assert not windows.known_ahead(rows, MODEL).any()


def test_the_naive_forecast_is_the_same_weekday_of_the_last_week() -> None:
    naive = windows.last_week(np.arange(23.0)[None], 14, 9)
    assert naive[0].tolist() == [7, 8, 9, 10, 11, 12, 13, 7, 8]


def test_generated_series_depend_on_their_number_alone_and_have_a_week() -> None:
    _, first_day, values = demo_series.series(7)
    np.testing.assert_array_equal(values, demo_series.series(7)[2])
    assert not np.array_equal(values, demo_series.series(8)[2])
    assert (values >= 0).all()
    weekdays = [
        values[(first_day + 3 + np.arange(len(values))) % 7 == day].mean() for day in (1, 6)
    ]
    assert abs(np.log(weekdays[0] / weekdays[1])) > 0.05
