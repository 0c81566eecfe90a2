"""A trained forecaster, loaded from a checkpoint and ready to forecast."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.forecast.data.windows import unscaled
from rnnray.forecast.forecast_config import ForecastConfig
from rnnray.forecast.forecast_task import inputs_of
from rnnray.predictions import outputs_of
from rnnray.training import checkpoints, strategy, task_files

_ROWS = 256  # of every batch; see `predictions`


def read_checkpoint(uri: str) -> ForecastConfig:
    """Return the configuration of a forecaster's checkpoint.

    Raises:
        UserError: the folder is no such checkpoint.
    """
    return task_files.read_config(uri, ForecastConfig, "the forecaster", "train_forecast")


class Forecaster:
    """The forecaster of a checkpoint.

    Args:
        checkpoint: path or URI of the checkpoint's folder.
        threads: number of computing threads; 0 for one a CPU.

    Raises:
        UserError: the folder is not a checkpoint of the forecaster.
    """

    def __init__(self, checkpoint: str, *, threads: int = 0) -> None:
        self.config = read_checkpoint(checkpoint)
        strategy.configure_devices(threads)
        import tensorflow as tf  # noqa: PLC0415

        from rnnray.forecast import forecast_model  # noqa: F401, PLC0415  (registers our layers)

        self.model = checkpoints.fetch_model(checkpoint)
        self._forecasts = tf.function(
            lambda days: self.model(days, training=False)[:, -1],
            input_signature=[tf.TensorSpec([_ROWS, *self.model.input_shape[1:]], tf.float32)],
            autograph=False,
        )

    def forecast(self, rows: pa.Table) -> npt.NDArray[np.float64]:
        """Return the forecasts after windows of days, in the unit of their series.

        Args:
            rows: a table of windows; what it says of the days to forecast is not used.

        Returns:
            float64 [rows, horizon_days].
        """
        model = self.config.model
        batches = (
            (inputs_of(rows.slice(start, _ROWS), model),) for start in range(0, len(rows), _ROWS)
        )
        return unscaled(rows, outputs_of(self._forecasts, batches, _ROWS, model.horizon_days))
