"""Training the forecaster, from daily series to a checkpoint and its plots."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnnray import storage
from rnnray.forecast import forecast_plots
from rnnray.forecast.data import series_table, windows
from rnnray.forecast.data.daily_series import DailySeries, training_data
from rnnray.forecast.forecast_config import ForecastConfig
from rnnray.forecast.forecast_evaluation import Evaluation, evaluate
from rnnray.forecast.forecast_plots import Forecasts
from rnnray.forecast.forecast_task import ForecastTask
from rnnray.forecast.forecaster import Forecaster
from rnnray.progress import say
from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.run_report import learning_curves
from rnnray.training.training_options import RunOptions

_SHOWN_SERIES, _SHOWN_FORECASTS, _DAYS_BEFORE = 4, 8, 14


def train(config: ForecastConfig, series: DailySeries, options: RunOptions) -> dict[str, Any]:
    """Train, evaluate the best checkpoint on the last days, draw plots.

    Args:
        config: the model and how to train it.
        series: the opened source.
        options: where to train, and on how many workers.

    Returns:
        The metrics of `forecast_evaluation.Evaluation` for the test split (for validation if it has
        no days), and the paths of the written files.

    Raises:
        UserError: see `daily_series.training_data` and `rnnray.training.driver.train`.
    """
    data = training_data(config, series)
    model, days = config.model, series.splits(config.split)
    split = "test" if len(days["test"]) >= model.horizon_days else "validation"
    if split == "validation":
        say(
            "too few days in the test split: the best checkpoint will be evaluated on the "
            "validation split only"
        )
    run = driver.train(ForecastTask(config), config, options, data)
    say(f"evaluating the best checkpoint on the {split} split")
    evaluation = evaluate(run.best, series, split, gpu=options.wants_gpu())
    pictures = _draw(run, config, series, days[split], evaluation)
    for line in evaluation.lines():
        say(f"{split}, {line}")
    say(f"checkpoint {run.best}")
    say(f"plots      {pictures}")
    return evaluation.as_dict() | {
        "split": split,
        "series": series.blocks.rows,
        "epochs": len(run.history),
        "checkpoint": run.best,
        "last_checkpoint": run.last,
        "pictures": pictures,
    }


def _draw(
    run: TrainedRun,
    config: ForecastConfig,
    series: DailySeries,
    days: range,
    evaluation: Evaluation,
) -> str:
    """Draw the plots beside the checkpoints; return the path or URI of their folder."""
    shown = _shown(Forecaster(run.best), series, days)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learning_curves(
            folder / "learning_curves.png",
            run.history,
            metric_names=ForecastTask.metric_names,
            score=ForecastTask.score,
            shares=ForecastTask.shares,
            loss_label="Huber loss (scaled by each window)",
        )
        forecast_plots.errors_by_day(
            folder / "errors.png", evaluation.mae(), evaluation.mae(naive=True)
        )
        if shown:
            forecast_plots.forecasts_over_what_happened(folder / "forecasts.png", shown)
        target = storage.join(run.folder, "pictures")
        storage.copy_folder(folder, target)
    return target


def _shown(forecaster: Forecaster, series: DailySeries, days: range) -> list[Forecasts]:
    """Return the last forecasts of the first series, one after the other without overlap."""
    model = forecaster.config.model
    table = series.blocks.table(0).slice(0, _SHOWN_SERIES)
    shown: list[Forecasts] = []
    for index, (name, first_day, values) in enumerate(series_table.each(table)):
        rows = pa.concat_tables(windows.tables(table.slice(index, 1), model, days))
        if not len(rows):
            continue
        begins = rows["day"].to_numpy().astype(np.int64)
        apart = (begins[-1] - begins) % model.horizon_days == 0
        rows = rows.filter(pa.array(apart))
        rows = rows.slice(max(0, len(rows) - _SHOWN_FORECASTS))
        begins = rows["day"].to_numpy().astype(np.int64)
        read = windows.unscaled(rows, windows.matrix(rows, "values"))
        first = max(0, int(begins[0]) - first_day - _DAYS_BEFORE)
        end = int(begins[-1]) - first_day + model.horizon_days
        naive = windows.last_week(read, model.window_days, model.horizon_days)
        forecasts = forecaster.forecast(rows)
        shown.append(
            Forecasts(name, first_day + first, values[first:end], begins, forecasts, naive)
        )
    return shown
