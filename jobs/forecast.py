#!/usr/bin/env python3
"""Forecast daily series: the days after the end of each, as Parquet.

The output has the columns name, date, days_ahead (1 for the day after a series' last) and forecast.
The last line of the output is JSON: output, count (series that are forecast).
"""

from typing import Any

from rnnray import job
from rnnray.forecast.forecast_config import Column, Missing
from rnnray.training.training_options import NoGpu


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: str
    """Path or URI of a checkpoint folder (epoch-* in a run's folder)."""
    data: str
    """Daily series: a path or URI of CSV or Parquet files, demo, demo:COUNT or ridership."""
    output: str
    """Path or URI of the Parquet file to write."""
    date_column: Column | None = None
    """Name of the column of days; by default that of the training data, as for all options of
    columns."""
    value_column: Column | None = None
    """Name of the column of values."""
    name_column: Column | None = None
    """Name of the column that names each row's series."""
    date_format: Column | None = None
    """Format of dates in text, such as %m/%d/%Y."""
    missing: Missing | None = None
    """Treatment of days without a value: error; fill (read as the same weekday of the week before);
    or zero. By default that of training."""
    workers: job.BatchWorkers = None
    no_gpu: NoGpu = False


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import cluster
    from rnnray.forecast.data.daily_series import open_series
    from rnnray.forecast.forecast_config import SeriesConfig
    from rnnray.forecast.forecaster import read_checkpoint
    from rnnray.forecast.forecasting import forecast

    trained = read_checkpoint(config.checkpoint)
    cluster.connect(verbose=config.verbose)
    columns = {
        name: getattr(config, name) or getattr(trained, name) for name in SeriesConfig.model_fields
    }
    series = open_series(config.data, SeriesConfig(**columns))
    count = forecast(
        config.checkpoint,
        series,
        config.output,
        workers=config.workers,
        gpu=False if config.no_gpu else None,
    )
    return {"output": config.output, "count": count, "checkpoint": config.checkpoint}


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
