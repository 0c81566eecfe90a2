"""Plots of forecasts over what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.plot_style import BLUE, BODY, ORANGE, TEXT

_HEIGHT = 2.3  # inches of a chart


@dataclass(frozen=True)
class Forecasts:
    """A series, and forecasts of it."""

    name: str
    first_day: int
    """Day of the first value, since 1970-01-01."""
    values: NDArray[np.float64]
    """Values that happened; NaN for a missing day."""
    days: NDArray[np.int64]
    """First day of each forecast, [forecasts]."""
    forecasts: NDArray[np.float64]
    """[forecasts, horizon_days]"""
    naive: NDArray[np.float64]
    """The same of the naive forecast."""


def forecasts_over_what_happened(path: Path, series: Sequence[Forecasts]) -> None:
    """Draw some series, a chart each, with the forecasts of each a line.

    Args:
        path: path of the PNG.
        series: one or more series; about four fit on a screen.

    Raises:
        ValueError: there is no series.
        UserError: the file cannot be written.
    """
    if not series:
        raise ValueError("no series: a plot of forecasts needs one at least")
    figure = plot_style.new(10, _HEIGHT * len(series) + 0.5)
    for number, each in enumerate(series, 1):
        title = plot_style.wrap(each.name, 90)
        axes = plot_style.chart(figure, (len(series), 1, number), title)
        happened = _dates(each.first_day, len(each.values))
        axes.plot(happened, each.values, color=TEXT, lw=1.4, label="what happened")
        drawn = (
            (each.naive, ORANGE, ":", "same weekday of the last week"),
            (each.forecasts, BLUE, "-", "forecast"),
        )
        for index, day in enumerate(each.days):
            days = _dates(int(day), each.forecasts.shape[1])
            for values, color, style, label in drawn:
                axes.plot(days, values[index], style, color=color, lw=1.8, marker="o", ms=3)
                axes.lines[-1].set_label(label if index == 0 else "_")
        locator = AutoDateLocator(maxticks=10)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(
            ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        )
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.margins(x=0.01)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=BODY
    )
    plot_style.save(figure, path)


def errors_by_day(
    path: Path, mae: NDArray[np.float64], naive: NDArray[np.float64], unit: str = ""
) -> None:
    """Draw the mean absolute error by the number of days ahead, beside the naive forecast's.

    Args:
        path: path of the PNG.
        mae: [horizon_days].
        naive: [horizon_days].
        unit: unit of the errors, for the axis.

    Raises:
        UserError: the file cannot be written.
    """
    figure = plot_style.new(6, 3.6)
    label = f"mean absolute error{f' ({unit})' if unit else ''}"
    axes = plot_style.chart(figure, (1, 1, 1), "Errors", xlabel="days ahead", ylabel=label)
    ahead = np.arange(1, len(mae) + 1)
    axes.bar(ahead - 0.2, mae, 0.38, color=BLUE, label="forecast")
    axes.bar(ahead + 0.2, naive, 0.38, color=ORANGE, label="same weekday of the last week")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=BODY)
    plot_style.save(figure, path)


def _dates(first_day: int, count: int) -> NDArray[np.datetime64]:
    return np.datetime64(first_day, "D") + np.arange(count)
