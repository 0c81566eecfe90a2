"""The forecaster as a task: targets, masks, losses, and both kinds of network."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rnnray.forecast.data import series_table, windows
from rnnray.forecast.forecast_config import ForecastConfig, ForecastModelConfig
from rnnray.forecast.forecast_task import ForecastTask, inputs_of


def task_of(**model: Any) -> ForecastTask:
    sizes = {"window_days": 14, "units": 4, "layers": 2}
    return ForecastTask(ForecastConfig(model=ForecastModelConfig(**(sizes | model))))


def rows_of(task: ForecastTask, missing: tuple[int, ...] = ()) -> pa.Table:
    values = np.random.default_rng(0).normal(100, 10, 40)
    values[list(missing)] = np.nan
    series = series_table.from_series([("a", 20_000, values)])
    return pa.concat_tables(windows.tables(series, task.config.model, range(20_000, 20_040)))


@pytest.mark.parametrize(
    ("output", "steps", "calendar", "from_last_week"),
    [
        *(("vector", 1, each, each) for each in (True, False)),
        *(("sequence", 14, each, not each) for each in (True, False)),
    ],
)
def test_a_batch_fits_the_network(
    output: str, steps: int, calendar: bool, from_last_week: bool
) -> None:
    task = task_of(output=output, calendar=calendar, from_last_week=from_last_week)
    inputs, targets, weights = task.batch(rows_of(task))
    model = task.build_model(unroll=False)
    assert model(inputs).shape == targets.shape == (20, steps, 7)
    assert weights.tolist() == [7.0] * 20


def test_each_step_of_a_sequence_has_the_days_that_follow_it() -> None:
    task = task_of()
    rows = rows_of(task)
    values = windows.matrix(rows, "values")
    _, targets, _ = task.batch(rows)
    for step in range(14):
        np.testing.assert_array_equal(targets[:, step], values[:, step + 1 : step + 8])


def test_training_begins_at_the_naive_forecast() -> None:
    for output in ("vector", "sequence"):
        task = task_of(output=output, horizon_days=9)
        rows = rows_of(task)
        model = task.build_model(unroll=False)
        naive = windows.last_week(windows.matrix(rows, "values"), 14, 9)
        np.testing.assert_allclose(model(inputs_of(rows, task.config.model))[:, -1], naive)


@pytest.mark.parametrize("output", ["vector", "sequence"])
def test_a_saved_network_comes_back_as_itself(output: str, tmp_path: Path) -> None:
    import keras  # noqa: PLC0415

    task = task_of(output=output)
    inputs = task.batch(rows_of(task))[0]
    model = task.build_model(unroll=True)
    model.get_layer("forecast").set_weights([np.ones((4, 7)), np.ones(7)])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(inputs), model(inputs), rtol=1e-5)


def test_missing_days_count_neither_in_losses_nor_in_metrics() -> None:
    task = task_of(output="vector")
    _, targets, weights = task.batch(rows_of(task, missing=(16, 17)))
    assert weights[0] == 5
    forecasts = np.zeros_like(targets)
    known = ~np.isnan(targets[0, 0])
    errors = np.abs(targets[0, 0][known])
    huber = np.where(errors < 1, errors**2 / 2, errors - 0.5)
    np.testing.assert_allclose(task.row_losses(targets, forecasts)[0], huber.mean(), rtol=1e-5)
    np.testing.assert_allclose(task.row_metrics(targets, forecasts)[0], [errors.mean()], rtol=1e-5)


def test_gradients_through_missing_days_are_finite() -> None:
    import tensorflow as tf  # noqa: PLC0415

    task = task_of(from_last_week=False)
    inputs, targets, _ = task.batch(rows_of(task, missing=(8, 16, 17)))
    model = task.build_model(unroll=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(task.row_losses(targets, model(inputs)))
    assert np.isnan(targets).any()
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.isfinite(gradient.numpy()).all()


def test_the_calendar_is_that_of_the_days_read() -> None:
    task = task_of()
    rows = rows_of(task)
    inputs = inputs_of(rows, task.config.model)
    last = series_table.to_date(rows["day"][0].as_py() - 1)
    assert inputs[0, -1, 2:9].argmax() == last.weekday()
    assert inputs[0, -2, 2:9].argmax() == (last.weekday() - 1) % 7
    np.testing.assert_array_equal(inputs[:, 7:, 1], inputs[:, 7:, 0] - inputs[:, :-7, 0])
