"""A trained forecaster, loaded from a checkpoint and ready to forecast."""

import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from rnnray import devices, storage
from rnnray.errors import UserError
from rnnray.forecast.data.windows import unscaled
from rnnray.forecast.forecast_config import ForecastConfig
from rnnray.forecast.forecast_task import CONFIG_FILE, inputs_of
from rnnray.training import checkpoints, strategy
from rnnray.yaml_file import read_mapping

# Rows of every batch, filled up if needed: one shape is compiled once, and no result depends on the
# other rows.
_ROWS = 256


def read_checkpoint(uri: str) -> ForecastConfig:
    """Return the configuration of a forecaster's checkpoint.

    Raises:
        UserError: the folder is no such checkpoint.
    """
    content = storage.read_bytes(storage.join(uri, CONFIG_FILE))
    if content is None:
        raise UserError(
            f"{uri}: not a checkpoint of the forecaster: it has no {CONFIG_FILE}; checkpoints are "
            "the folders named epoch-* below --storage-path/--name"
        )
    try:
        return ForecastConfig.model_validate(read_mapping(content, CONFIG_FILE))
    except (UserError, ValidationError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem else error
        raise UserError(f"{uri}/{CONFIG_FILE}: not the forecaster's ({reason})") from error


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

        with tempfile.TemporaryDirectory() as temporary:
            folder = storage.fetch_folder(checkpoint, Path(temporary))
            self.model = checkpoints.load_model(folder)
        self._forecasts = tf.function(
            lambda days: self.model(days, training=False)[:, -1],
            input_signature=[tf.TensorSpec([_ROWS, *self.model.input_shape[1:]], tf.float32)],
        )

    def forecast(self, rows: pa.Table) -> npt.NDArray[np.float64]:
        """Return the forecasts after windows of days, in the unit of their series.

        Args:
            rows: a table of windows; what it says of the days to forecast is not used.

        Returns:
            float64 [rows, horizon_days].
        """
        parts = [np.zeros((0, self.config.model.horizon_days), np.float32)]
        for start in range(0, len(rows), _ROWS):
            inputs = inputs_of(rows.slice(start, _ROWS), self.config.model)
            whole = np.zeros((_ROWS, *inputs.shape[1:]), np.float32)
            whole[: len(inputs)] = inputs
            parts.append(self._forecasts(whole).numpy()[: len(inputs)])
        return unscaled(rows, np.concatenate(parts))


class ForecastingActor:
    """Base of the actors of batch jobs; loads its forecaster with the first batch.

    Not in the constructor: Ray passes on only the text of a failure there, and starts the actor
    again.
    """

    def __init__(self, checkpoint: str, actors: int) -> None:
        self._checkpoint, self._actors = checkpoint, actors

    @cached_property
    def forecaster(self) -> Forecaster:
        """The checkpoint's forecaster, with threads for its share of this node's CPUs."""
        threads = max(1, devices.node_cpus() // self._actors)
        return Forecaster(self._checkpoint, threads=threads)
