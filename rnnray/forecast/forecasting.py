"""Batch forecasting: daily series in, the days after the end of each out, as Parquet."""

from functools import partial

import numpy as np
import pyarrow as pa

from rnnray import batch_jobs
from rnnray.errors import UserError
from rnnray.forecast.data.daily_series import DailySeries, say_too_short
from rnnray.forecast.forecaster import Forecaster, read_checkpoint

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("date", pa.date32()),
        pa.field("days_ahead", pa.int32()),  # 1 for the day after the series' last
        pa.field("forecast", pa.float64()),
    ]
)


def _forecast(forecaster: Forecaster, rows: pa.Table) -> pa.Table:
    forecasts = forecaster.forecast(rows)
    count, horizon = forecasts.shape
    ahead = np.arange(horizon, dtype=np.int32)
    days = rows["day"].to_numpy()[:, None] + ahead
    return pa.table(
        [
            rows["name"].take(np.repeat(np.arange(count), horizon)),
            pa.array(days.ravel().astype(np.int32)).cast(pa.date32()),
            pa.array(np.tile(ahead + 1, count)),
            pa.array(forecasts.ravel()),
        ],
        schema=SCHEMA,
    )


def forecast(
    checkpoint: str,
    series: DailySeries,
    output: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> int:
    """Forecast the days after the last of each series, and write one Parquet file.

    Series that are shorter than a window are left out and named.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        series: an opened source.
        output: path or URI of the file, which appears only when it is whole.
        workers: see `batch_jobs.mapped`.
        gpu: see there.

    Returns:
        The number of series that are forecast.

    Raises:
        UserError: not a checkpoint, no series is long enough, or an output that cannot be written.
    """
    model = read_checkpoint(checkpoint).model
    if say_too_short(series, model.window_days) == series.blocks.rows:
        raise UserError(
            f"{series.data}: no series has {model.window_days} days, which the forecaster reads; "
            "nothing is written"
        )
    rows, load = series.last_windows(model), partial(Forecaster, checkpoint)
    count, _ = batch_jobs.write_parquet(
        batch_jobs.mapped(rows, load, _forecast, checkpoint, workers, gpu=gpu),
        SCHEMA,
        output,
        progress="forecast {:,} series",
        rows_each=model.horizon_days,
    )
    return count
