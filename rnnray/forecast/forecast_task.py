"""The forecaster as a task of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from rnnray.forecast.data import windows
from rnnray.forecast.data.windows import WEEK
from rnnray.forecast.forecast_config import ForecastConfig, ForecastModelConfig

if TYPE_CHECKING:
    import keras

CONFIG_FILE = "config.yaml"
_YEAR = 365.2425
_THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0


@dataclass(frozen=True)
class ForecastTask:
    """Forecast the days after a window; implements `rnnray.training.task.Task`."""

    config: ForecastConfig

    row_unit: ClassVar[str] = "windows"
    unit: ClassVar[str] = "days"
    metric_names: ClassVar[tuple[str, ...]] = ("error",)
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_error", "min")
    evaluation_rows: ClassVar[int] = 256
    unrolls: ClassVar[bool] = True

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """Return a new forecaster."""
        from rnnray.forecast import model  # noqa: PLC0415  (imports Keras)

        return model.build(self.config.model, unroll=unroll)

    def batch(
        self, rows: pa.Table
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return inputs float32 [rows, window_days, channels] of a table of windows, targets
        float32 [rows, steps, horizon_days] with NaN for unknown days, and the number of days after
        each window that are known.
        """
        config = self.config.model
        known = windows.matrix(rows, "known") > 0
        values = np.where(known, windows.matrix(rows, "values"), np.float32(np.nan))
        ahead = np.lib.stride_tricks.sliding_window_view(values[:, 1:], config.horizon_days, axis=1)
        targets = ahead[:, -1:] if config.output == "vector" else ahead
        weights = known[:, config.window_days :].sum(axis=1).astype(np.float32)
        return inputs_of(rows, config), np.ascontiguousarray(targets), weights

    def row_losses(self, targets: Any, forecasts: Any) -> Any:
        """Return the mean Huber loss of each row's known days after all steps: [rows]."""
        from keras import ops  # noqa: PLC0415

        errors, known = _errors(targets, forecasts)
        losses = ops.where(errors < 1, 0.5 * ops.square(errors), errors - 0.5)
        return _means(losses, known)

    def row_metrics(self, targets: Any, forecasts: Any) -> Any:
        """Return the mean absolute error of the days after the window, as a share of the window's
        standard deviation: [rows, 1].
        """
        return _means(*_errors(targets[:, -1:], forecasts[:, -1:]))[:, None]

    def checkpoint_files(self) -> Mapping[str, str]:
        """Return the configuration."""
        return {CONFIG_FILE: yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)}


def inputs_of(rows: pa.Table, config: ForecastModelConfig) -> npt.NDArray[np.float32]:
    """Return what the model reads: float32 [rows, window_days, channels].

    The channels are the scaled value; `from_last_week`: its difference from the week before (0 in
    the first week); `calendar`: the weekday (one-hot, Monday first) and the season (sine and cosine
    of the year).
    """
    values = windows.matrix(rows, "values")[:, : config.window_days]
    channels = [values[:, :, None]]
    if config.from_last_week:
        differences = np.zeros_like(values)
        differences[:, WEEK:] = values[:, WEEK:] - values[:, :-WEEK]
        channels.append(differences[:, :, None])
    if config.calendar:
        first = rows["day"].to_numpy().astype(np.int64)[:, None]
        days = first - np.arange(config.window_days, 0, -1)
        channels.append(np.eye(WEEK, dtype=np.float32)[(days + _THURSDAY) % WEEK])
        angle = 2 * np.pi * days / _YEAR
        channels.append(np.stack([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32))
    return np.concatenate(channels, axis=-1)


def _errors(targets: Any, forecasts: Any) -> tuple[Any, Any]:
    """Return absolute errors, 0 where the target is unknown, and which are known."""
    from keras import ops  # noqa: PLC0415

    known = ops.logical_not(ops.isnan(targets))
    # Before the difference: a gradient through NaN is NaN, though its value is not used.
    targets = ops.where(known, targets, forecasts)
    return ops.abs(forecasts - targets), ops.cast(known, "float32")


def _means(values: Any, known: Any) -> Any:
    from keras import ops  # noqa: PLC0415

    return ops.sum(values * known, axis=(1, 2)) / ops.maximum(ops.sum(known, axis=(1, 2)), 1)
