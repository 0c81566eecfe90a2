"""Plots of forecasts show what happened, the forecasts and the naive ones, on their days."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from test_plot_style import assert_all_text_inside

from rnnray.forecast.forecast_plots import Forecasts, errors_by_day, forecasts_over_what_happened


def series(name: str) -> Forecasts:
    values = np.arange(28.0)
    values[3] = np.nan
    days = np.array([20_014, 20_021])
    ahead = np.arange(14.0, 28).reshape(2, 7)
    return Forecasts(name, 20_000, values, days, ahead + 1, ahead - 7)


def test_each_forecast_is_a_line_on_its_days(drawn: list[Figure]) -> None:
    forecasts_over_what_happened(Path("unused"), [series("a"), series("$x^2$ <b>" * 30)])
    happened, *lines = drawn[0].axes[0].lines
    assert np.isnan(happened.get_ydata()[3])
    assert len(lines) == 4
    for line, first, value in zip(lines, (14, 14, 21, 21), (7, 15, 14, 22), strict=True):
        day = num2date(line.axes.convert_xunits(line.get_xdata())[0]).date()
        assert day == np.datetime64(20_000 + first, "D").item()
        assert line.get_ydata()[0] == value
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["what happened", "same weekday of the last week", "forecast"]
    assert_all_text_inside(drawn[0])


def test_errors_stand_beside_the_naive_ones(drawn: list[Figure]) -> None:
    errors_by_day(Path("unused"), np.arange(1.0, 8), np.full(7, 9.0))
    ours, naive = drawn[0].axes[0].containers
    assert [bar.get_height() for bar in ours] == [1, 2, 3, 4, 5, 6, 7]
    assert [bar.get_height() for bar in naive] == [9] * 7
    assert_all_text_inside(drawn[0])


def test_no_series_is_no_plot() -> None:
    with pytest.raises(ValueError, match="no series"):
        forecasts_over_what_happened(Path("unused"), [])
