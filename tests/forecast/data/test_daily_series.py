"""Sources of series: splits by time for all series alike, and series that are too short."""

from datetime import date

import numpy as np
import pytest

from rnnray.errors import UserError
from rnnray.forecast.data import daily_series, series_table
from rnnray.forecast.data.daily_series import DailySeries, say_too_short
from rnnray.forecast.forecast_config import SeriesConfig
from rnnray.training.rows import Blocks


def series_of(*lengths: int) -> DailySeries:
    series = [(f"shop-{length}", 100, np.ones(length)) for length in lengths]
    table = series_table.from_series(series)
    return DailySeries("shops", Blocks.of([table]), range(*series_table.span_of(table)))


def test_the_last_days_are_test_and_those_before_validation() -> None:
    splits = series_of(50, 200).splits("70:20:10")
    assert splits == {
        "train": range(100, 240),
        "validation": range(240, 280),
        "test": range(280, 300),
    }


def test_series_shorter_than_a_window_are_named_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert say_too_short(series_of(5, 6, 7, 8, 40), 30) == 4
    line = "4 of 5 series are shorter than 30 days and are left out: shop-5, shop-6, shop-7 and 1 m"
    assert line in capsys.readouterr().out
    assert say_too_short(series_of(40), 30) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("data", ["demo:0", "demo:", "demo:many", "demo:-1"])
def test_a_number_of_generated_series_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(UserError, match="demo:COUNT takes a number of series"):
        daily_series.open_series(data, SeriesConfig())


def test_days_before_1970_are_days() -> None:
    day = date(1869, 5, 10)
    assert series_table.to_date(series_table.to_day(day)) == day
