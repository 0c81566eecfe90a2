"""Batch forecasting: daily series in, the days after the end of each out, as Parquet."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray import storage
from rnnray.errors import UserError
from rnnray.forecast.data.daily_series import DailySeries, say_too_short
from rnnray.forecast.forecast_evaluation import forecast_with
from rnnray.forecast.forecaster import ForecastingActor, read_checkpoint
from rnnray.progress import Every, say

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("date", pa.date32()),
        pa.field("days_ahead", pa.int32()),  # 1 for the day after the series' last
        pa.field("forecast", pa.float64()),
    ]
)


class _Forecaster(ForecastingActor):
    """Forecasts the days after windows."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        forecasts = self.forecaster.forecast(rows)
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
        workers: see `forecast_evaluation.forecast_with`.
        gpu: see there.

    Returns:
        The number of series that are forecast.

    Raises:
        UserError: not a checkpoint, no series is long enough, or an output that cannot be written.
    """
    model = read_checkpoint(checkpoint).model
    folder, _, name = storage.absolute(output).rpartition("/")
    storage.check_writable(folder)
    if say_too_short(series, model.window_days) == series.blocks.rows:
        raise UserError(
            f"{series.data}: no series has {model.window_days} days, which the forecaster reads; "
            "nothing is written"
        )
    rows = forecast_with(
        series.last_windows(model), _Forecaster, checkpoint, workers, gpu=gpu
    ).iter_batches(batch_size=None, batch_format="pyarrow")
    count, progress = 0, Every()
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / name
        with pq.ParquetWriter(file, SCHEMA, write_page_checksum=True) as writer:
            for some in rows:
                writer.write_table(some.cast(SCHEMA))
                count += len(some) // model.horizon_days
                if progress():
                    say(f"forecast {count:,} series")
        storage.put_file(file, f"{folder}/{name}")
    return count
