#!/usr/bin/env python3
"""Train the forecaster of daily series, here or on a cluster, from series to a checkpoint.

The same --storage-path and --name resume a run where it stopped. The last line of the output is
JSON: mae and mape on the held-out last days, a day ahead and over all days, beside those of the
naive forecast (the same weekday of the last week), and the best checkpoint's path.
"""

from dataclasses import dataclass
from typing import Any, Literal

from rnnray import job
from rnnray.forecast.forecast_config import PRESETS, ForecastConfig
from rnnray.training.training_options import RunName, RunOptions


class ForecastRun(RunOptions):
    """Storage, workers and resources of a run of the forecaster."""

    name: RunName = "forecast"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""


class Options(job.PresetOptions):
    """Options of this job."""

    preset: Literal["strong", "notebook"] = "strong"
    """Preset that gives the other defaults: strong, which we recommend, or notebook, the book's."""


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    forecast: ForecastConfig
    run: ForecastRun
    options: Options


def main(config: Config) -> dict[str, Any]:
    """Do the job."""
    from rnnray import cluster
    from rnnray.forecast import forecast_training
    from rnnray.forecast.data.daily_series import open_series

    cluster.connect(verbose=config.options.verbose)
    series = open_series(config.forecast.data, config.forecast)
    return forecast_training.train(config.forecast, series, config.run)


if __name__ == "__main__":
    job.run(main, Config, description=__doc__, presets=PRESETS)
