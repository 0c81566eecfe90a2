"""Evaluation of a forecaster beside the naive forecast, over all windows of a split."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray import batch_jobs
from rnnray.errors import UserError
from rnnray.forecast.data import windows
from rnnray.forecast.data.daily_series import DailySeries
from rnnray.forecast.forecaster import Forecaster, read_checkpoint
from rnnray.progress import Every, say

# Rows of the sums: of the forecaster and of the naive forecast, absolute errors and errors as
# shares of the value; then the days that each kind of error is known for.
_ABSOLUTE, _RELATIVE, _NAIVE_ABSOLUTE, _NAIVE_RELATIVE, _DAYS, _DAYS_NOT_ZERO = range(6)


@dataclass(frozen=True)
class Evaluation:
    """Errors by the number of days ahead."""

    sums: npt.NDArray[np.float64]
    """[6, horizon_days], see the module."""
    windows: int
    """Number of windows."""

    def mae(self, *, naive: bool = False) -> npt.NDArray[np.float64]:
        """Return the mean absolute error, in the unit of the series: [horizon_days]."""
        sums = self.sums[_NAIVE_ABSOLUTE if naive else _ABSOLUTE]
        errors: npt.NDArray[np.float64] = sums / np.maximum(self.sums[_DAYS], 1)
        return errors

    def as_dict(self) -> dict[str, Any]:
        """Return the errors a day ahead and over all days, beside those of the naive forecast.

        `mape` is the mean of the absolute errors as shares of the values, over values that are not
        zero; NaN without any.
        """
        result: dict[str, Any] = {}
        for when, sums in (("day_ahead", self.sums[:, 0]), ("all_days", self.sums.sum(axis=1))):
            days, not_zero = (float(sums[row]) or np.nan for row in (_DAYS, _DAYS_NOT_ZERO))
            result |= {
                f"mae_{when}": float(sums[_ABSOLUTE] / days),
                f"naive_mae_{when}": float(sums[_NAIVE_ABSOLUTE] / days),
                f"mape_{when}": float(sums[_RELATIVE] / not_zero),
                f"naive_mape_{when}": float(sums[_NAIVE_RELATIVE] / not_zero),
            }
        return result | {"count": int(self.sums[_DAYS].sum()), "windows": self.windows}

    def lines(self) -> list[str]:
        """Return two lines for people: a day ahead, and over all days."""
        found = self.as_dict()
        words = {"day_ahead": "a day ahead", "all_days": f"over {self.sums.shape[1]} days"}
        return [
            f"{words[when]}: MAE {found[f'mae_{when}']:,.4g}, MAPE {found[f'mape_{when}']:.2%}; "
            f"same weekday of last week: MAE {found[f'naive_mae_{when}']:,.4g}, "
            f"MAPE {found[f'naive_mape_{when}']:.2%}"
            for when in words
        ]


def errors_of(
    rows: pa.Table, forecasts: npt.NDArray[np.float64], window_days: int
) -> npt.NDArray[np.float64]:
    """Return the sums of the errors of some windows: [6, horizon_days].

    Args:
        rows: a table of windows.
        forecasts: float64 [rows, horizon_days].
        window_days: number of days that the forecaster reads.
    """
    values = windows.unscaled(rows, windows.matrix(rows, "values"))
    known = windows.matrix(rows, "known")[:, window_days:] > 0
    actual = values[:, window_days:]
    naive = windows.last_week(values, window_days, forecasts.shape[1])
    # What float32 makes of zero is not exactly zero.
    not_zero = known & (np.abs(actual) > 1e-6 * np.abs(values).max(axis=1, keepdims=True))
    share = np.where(not_zero, np.abs(actual), 1)
    return np.stack(
        [
            *(
                part.sum(axis=0)
                for errors in (np.abs(forecasts - actual), np.abs(naive - actual))
                for part in (errors * known, errors / share * not_zero)
            ),
            known.sum(axis=0),
            not_zero.sum(axis=0),
        ]
    )


def _judge(forecaster: Forecaster, rows: pa.Table) -> pa.Table:
    """Add up the errors of some windows."""
    sums = errors_of(rows, forecaster.forecast(rows), forecaster.config.model.window_days)
    return pa.table({"windows": [len(rows)], "sums": [sums.ravel()]})


def evaluate(
    checkpoint: str,
    series: DailySeries,
    split: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on all windows of a split.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        series: the opened source, divided as the checkpoint's configuration says.
        split: train, validation or test.
        workers: see `batch_jobs.mapped`.
        gpu: see `batch_jobs.mapped`.

    Raises:
        UserError: not a checkpoint, no window in the split, or forecasts that are not finite.
    """
    config = read_checkpoint(checkpoint)
    model = config.model
    rows = series.windows(model, series.splits(config.split)[split])
    sums, count, progress = np.zeros((6, model.horizon_days)), 0, Every()
    load = partial(Forecaster, checkpoint)
    judged = batch_jobs.mapped(rows, load, _judge, checkpoint, workers, gpu=gpu)
    for batch in judged.iter_batches(batch_size=None, batch_format="pyarrow"):
        count += int(batch["windows"].to_numpy().sum())
        for each in batch["sums"]:
            sums += each.values.to_numpy().reshape(sums.shape)
        if progress():
            say(f"evaluated {count:,} windows")
    if not count:
        raise UserError(f"{series.data}: no window in the {split} split")
    if not np.isfinite(sums).all():
        raise UserError(f"{checkpoint}: its forecasts of the {split} split are not finite")
    return Evaluation(sums, count)
