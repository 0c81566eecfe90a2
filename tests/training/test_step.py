"""One step on one worker, its optimizer, and what differs between workers.

A peer is pretended here; real ones are in tests/cluster.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lazily import Lazily, keras, tf
from toy import ToyTask, rows

from rnnray.training.rows import Blocks
from rnnray.training.strategy import create_strategy
from rnnray.training.training_options import OptimizerConfig, TrainingConfig, share_of_peak
from rnnray.training.worker import Worker

loops = Lazily("rnnray.training.loop")
steps = Lazily("rnnray.training.step")

SIGNALS = np.array([2.0, 0.0, 5.0], np.float32)


def model(task: ToyTask) -> Any:
    keras.utils.set_random_seed(3)
    return task.build_model(unroll=True)


def weights(trained: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in trained.weights]


def made(
    task: ToyTask, optimizer: Any, *, xla: bool = False, timed: bool = False, **options: Any
) -> tuple[Any, Any]:
    """A fresh model, and the step that trains it."""
    trained, config = model(task), OptimizerConfig(**options)
    optimizer.build(trained.trainable_variables)
    given = tf.distribute.get_strategy(), trained, optimizer, task, config, len(SIGNALS)
    return trained, steps.make_train_step(*given, xla=xla, timed=timed)


def take_step(
    inputs: Any, targets: Any, row_weights: Any, **options: Any
) -> tuple[Any, np.ndarray]:
    trained, step = made(ToyTask(), keras.optimizers.SGD(1.0), **options)
    sums = step(inputs, targets, np.asarray(row_weights, np.float32), SIGNALS)
    return trained, sums.numpy()


def plain_gradients(inputs: Any, targets: Any) -> list[np.ndarray]:
    """The gradient of the mean loss, the textbook's way."""
    task = ToyTask()
    fresh = model(task)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(task.row_losses(targets, fresh(inputs, training=True)))
    return [gradient.numpy() for gradient in tape.gradient(loss, fresh.trainable_variables)]


@pytest.mark.parametrize("xla", [False, True])
def test_a_step_goes_down_the_gradient_of_the_mean_loss_of_the_batch(xla: bool) -> None:
    inputs, targets, _ = ToyTask().batch(rows(20))
    trained, _ = take_step(inputs, targets, np.ones(20), xla=xla)
    fresh = weights(model(ToyTask()))
    gradients = plain_gradients(inputs, targets)
    for after, before, gradient in zip(weights(trained), fresh, gradients, strict=True):
        np.testing.assert_allclose(after, before - gradient, atol=1e-6)


def test_clipping_applies_to_that_gradient() -> None:
    inputs, targets, _ = ToyTask().batch(rows(20))
    trained, _ = take_step(inputs, targets, np.ones(20), clip="global", clip_norm=0.01)
    moved = [
        (before - after).ravel()
        for before, after in zip(weights(model(ToyTask())), weights(trained), strict=True)
    ]
    assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(0.01, rel=1e-4)
    direction = np.concatenate([g.ravel() for g in plain_gradients(inputs, targets)])
    np.testing.assert_allclose(
        np.concatenate(moved), 0.01 * direction / np.linalg.norm(direction), atol=1e-6
    )


def test_rows_without_weight_change_neither_the_weights_nor_the_sums() -> None:
    inputs, targets, _ = ToyTask().batch(rows(20))
    padded, padded_sums = take_step(inputs, targets, [1] * 13 + [0] * 7)
    exact, exact_sums = take_step(inputs[:13], targets[:13], np.ones(13))
    np.testing.assert_allclose(padded_sums, exact_sums, rtol=1e-6)
    for left, right in zip(weights(padded), weights(exact), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_an_idle_step_of_no_rows_leaves_the_weights_and_is_no_nan() -> None:
    inputs, targets, _ = ToyTask().batch(rows(20))
    trained, sums = take_step(inputs, targets, np.zeros(20))
    assert sums[0] == 0
    for after, before in zip(weights(trained), weights(model(ToyTask())), strict=True):
        np.testing.assert_array_equal(after, before)


def test_the_sums_are_rows_loss_metrics_the_flags_and_the_gradient_norm() -> None:
    inputs, targets, _ = ToyTask().batch(rows(20))
    _, sums = take_step(inputs, targets, np.ones(20))
    logits = model(ToyTask())(inputs).numpy().astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -log_probabilities[np.arange(20), targets].sum()
    right = (logits.argmax(1) == targets).sum()
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in plain_gradients(inputs, targets)]))
    np.testing.assert_allclose(sums, [20, loss, right, *SIGNALS, norm], rtol=1e-5)


@pytest.mark.parametrize("skips", [False, True])
def test_a_step_that_is_not_finite_changes_nothing_where_it_may_be_skipped(skips: bool) -> None:
    task = ToyTask(normalized=True)
    optimizer = keras.optimizers.Adam(0.1)
    trained, step = made(task, optimizer, clip="global", skip_nonfinite=skips)
    inputs, targets, row_weights = task.batch(rows(20))
    step(inputs, targets, row_weights, SIGNALS)
    before = [v.numpy() for v in [*trained.weights, *optimizer.variables]]
    poisoned = inputs.copy()
    poisoned[7, 2] = np.nan
    norm = step(poisoned, targets, row_weights, SIGNALS).numpy()[-1]
    assert not np.isfinite(norm)
    after = [v.numpy() for v in [*trained.weights, *optimizer.variables]]
    assert all(map(np.array_equal, before, after)) == skips


def test_the_evaluation_step_sums_the_same_and_moves_nothing() -> None:
    task = ToyTask(normalized=True, dropout=0.5)
    fixed = model(task)
    before = weights(fixed)
    step = steps.make_evaluation_step(fixed, task)
    inputs, targets, _ = task.batch(rows(20))
    row_weights = np.array([1] * 13 + [0] * 7, np.float32)
    sums = step(inputs, targets, row_weights).numpy()
    again = step(inputs, targets, row_weights).numpy()
    np.testing.assert_array_equal(sums, again)  # no dropout
    logits = fixed(inputs[:13], training=False)
    loss = task.row_losses(targets[:13], logits).numpy().sum()
    assert sums[:2] == pytest.approx([13, loss], rel=1e-5)
    for after, value in zip(weights(fixed), before, strict=True):
        np.testing.assert_array_equal(after, value)  # no step of the moving statistics


def test_a_timed_step_says_when_this_worker_was_ready_and_when_the_sum_was_there() -> None:
    task = ToyTask()
    _, step = made(task, keras.optimizers.SGD(0.1), timed=True)
    inputs, targets, row_weights = task.batch(rows(20))
    seen = [time.time()]
    for _ in range(3):
        numbers, times = step(inputs, targets, row_weights, SIGNALS)
        assert numbers.numpy()[0] == 20
        seen += [*times.numpy(), time.time()]
    assert seen == sorted(seen)


def gradients(seed: int, scale: float) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        tf.constant(scale * rng.normal(size=shape), tf.float32) for shape in [(3, 4), (4,), (2, 2)]
    ]


def training(total_steps: int = 100, **values: object) -> Any:
    return steps.build_optimizer(TrainingConfig.model_validate(values), total_steps)


@settings(max_examples=30)
@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_clipping_each_variable_or_all_together_is_tensorflow_s(
    seed: int, scale: float, norm: float
) -> None:
    before = gradients(seed, scale)
    each = [tf.clip_by_norm(gradient, norm) for gradient in before]
    for kind, theirs in ("variable", each), ("global", tf.clip_by_global_norm(before, norm)[0]):
        ours = steps.clip(before, OptimizerConfig(clip=kind, clip_norm=norm))
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-5)


@pytest.mark.parametrize(("kind", "scale"), [("variable", 1e-4), ("global", 1e-4), ("none", 1e4)])
def test_gradients_below_the_norm_or_without_one_are_left_exactly_as_they_are(
    kind: Any, scale: float
) -> None:
    before = [*gradients(1, scale), tf.zeros((5,))]
    ours = steps.clip(before, OptimizerConfig(clip=kind))
    for mine, gradient in zip(ours, before, strict=True):
        np.testing.assert_array_equal(mine, gradient)


def test_the_schedule_rises_to_its_peak_and_falls_to_zero_at_the_last_step() -> None:
    schedule = steps.WarmupCosine(peak=2.0, warmup_steps=10, total_steps=110)
    rates = [float(schedule(step)) for step in range(111)]
    np.testing.assert_allclose(rates[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    expected = 2.0 * 0.5 * (1 + np.cos(np.pi * np.arange(101) / 100))
    np.testing.assert_allclose(rates[10:], expected, atol=1e-6)
    # The first step of all must move the weights, or the first batch is wasted.
    assert rates[0] > 0
    assert float(schedule(500)) == pytest.approx(0, abs=1e-7)
    assert float(steps.WarmupCosine(peak=1.0, warmup_steps=0, total_steps=10)(0)) == 1.0


def test_the_schedule_survives_keras_s_own_saving() -> None:
    schedule = steps.WarmupCosine(peak=2.0, warmup_steps=10, total_steps=110)
    again = steps.WarmupCosine.from_config(schedule.get_config())
    assert [float(again(s)) for s in (0, 9, 60)] == [float(schedule(s)) for s in (0, 9, 60)]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "nadam"])
def test_each_name_stands_for_keras_s_optimizer(name: str) -> None:
    optimizer = training(optimizer={"name": name, "learning_rate": 0.25})
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25
    # Its own clipping would come before the sum over workers.
    assert optimizer.clipnorm is None
    assert optimizer.global_clipnorm is None


def test_momentum_reaches_sgd() -> None:
    assert training(optimizer={"name": "sgd", "momentum": 0.9}).momentum == 0.9


def test_the_learning_rate_follows_the_batch_only_when_asked() -> None:
    assert float(training(global_batch_size=256).learning_rate) == pytest.approx(1e-2)
    scaled = training(global_batch_size=256, scale_learning_rate=True)
    assert float(scaled.learning_rate) == pytest.approx(8e-2)


def test_the_warm_up_is_a_share_of_all_steps() -> None:
    optimizer = training(
        1000, optimizer={"learning_rate": 1.0, "schedule": "cosine", "warmup_share": 0.1}
    )
    rates = []
    for step in (*range(100), 120):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert rates[:100] == pytest.approx([(step + 1) / 100 for step in range(100)], rel=1e-5)
    assert 0.99 < rates[100] < 1.0


def test_weight_decay_shrinks_kernels_and_spares_biases_and_normalisation() -> None:
    model = keras.Sequential(
        [
            keras.layers.Input((5, 3)),
            keras.layers.Conv1D(4, 3, bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
            keras.layers.LayerNormalization(beta_initializer="ones"),
            keras.layers.LSTM(2),
        ]
    )
    optimizer = training(
        optimizer={"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.5, "clip": "none"}
    )
    variables = model.trainable_variables
    optimizer.build(variables)
    before = [v.numpy() for v in variables]
    optimizer.apply([tf.zeros(v.shape) for v in variables], variables)
    for variable, old in zip(variables, before, strict=True):
        factor = 0.95 if variable.name.endswith("kernel") else 1.0
        np.testing.assert_allclose(variable.numpy(), factor * old, rtol=1e-5)
    names = {v.name for v in variables}
    assert names == {"kernel", "bias", "gamma", "beta", "recurrent_kernel"}


@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_what_is_said_of_a_schedule_that_is_stretched_is_what_it_does(warmup: float) -> None:
    schedule = steps.WarmupCosine(1.0, round(warmup * 10_000), 10_000)
    for step in (1, 500, 2_500, 5_000, 9_999):
        # The rise begins at one step, not at none.
        said = pytest.approx(share_of_peak(step / 10_000, warmup), abs=2e-3)
        assert float(schedule(step)) == said


PEER = 7.0  # all moving statistics of the other worker
STILL = OptimizerConfig(learning_rate=1e-30)


@pytest.fixture
def averaged(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Pretend a peer; what this worker's moving statistics were before each average."""
    own: list[np.ndarray] = []

    def add_statistics(values: np.ndarray) -> np.ndarray:
        own.append(values)
        return values + PEER

    monkeypatch.setattr("rnnray.training.loop.Sums", lambda *_: lambda values: 2 * values)
    monkeypatch.setattr("rnnray.training.step.Sums", lambda *_: add_statistics)
    return own


def twice(table: pa.Table) -> pa.Table:
    """Every eight rows two times: batches of 16 give two workers the same rows."""
    return table.take(np.repeat(np.arange(len(table)).reshape(-1, 8), 2, axis=0).ravel())


def train(task: ToyTask, rank: int, report: Any, **options: Any) -> list[dict[str, float]]:
    worker = Worker(rank, 2, Blocks.of([twice(rows(200))]), Blocks.of([rows(50)]), print, report)
    config = TrainingConfig(optimizer=STILL, epochs=2, global_batch_size=16, shuffle_rows=0)
    return loops.TrainingLoop(task, config, worker, create_strategy(1), **options).run()


@pytest.mark.parametrize(
    "options", [{}, {"checkpoint_seconds": 0.0}, {"report_steps": 12}], ids="".join
)
def test_every_checkpoint_has_the_mean_of_all_workers_moving_statistics(
    averaged: list[np.ndarray], tmp_path: Path, options: dict[str, Any]
) -> None:
    saved: list[Path] = []

    def report(metrics: Any, folder: Path, name: str) -> None:
        saved.append(shutil.copytree(folder, tmp_path / name))

    train(ToyTask(normalized=True), 0, report, **options)
    assert len(saved) == len(averaged) == (2 if not options else len(saved))
    assert len(saved) > 2 or not options
    for folder, own in zip(saved, averaged, strict=True):
        model = keras.saving.load_model(folder / "model.keras")
        statistics = [v.numpy() for v in model.non_trainable_variables if "moving" in v.path]
        np.testing.assert_allclose(np.concatenate(statistics), (own + PEER) / 2, rtol=1e-6)


def losses(task: ToyTask, rank: int) -> list[float]:
    return [metrics["loss"] for metrics in train(task, rank, lambda *_: None)]


def test_workers_and_epochs_drop_out_different_units_and_the_same_run_the_same_ones(
    averaged: list[np.ndarray],
) -> None:
    # All rows in the same order, and weights that stay: without dropout all losses are one.
    plain = [*losses(ToyTask(), 0), *losses(ToyTask(), 1)]
    assert np.ptp(plain) < 1e-5
    task = ToyTask(dropout=0.5)
    first, second = losses(task, 0), losses(task, 1)
    assert losses(task, 1) == pytest.approx(second, abs=1e-6)
    different = sorted([*first, *second])
    assert min(np.diff(different)) > 1e-4
