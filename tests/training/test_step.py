"""One step on one worker; what several workers make of it is in tests/cluster."""

import time
from typing import Any

import numpy as np
import pytest
from lazily import Lazily, keras, tf
from toy import ToyTask, rows

from rnnray.training.training_config import OptimizerConfig

steps = Lazily("rnnray.training.step")

SIGNALS = np.array([2.0, 0.0, 5.0], np.float32)


def model(task: ToyTask) -> Any:
    keras.utils.set_random_seed(3)
    return task.build_model(unroll=True)


def weights(trained: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in trained.weights]


def take_step(
    inputs: Any, targets: Any, row_weights: Any, *, xla: bool = False, **options: Any
) -> tuple[Any, np.ndarray]:
    task = ToyTask()
    trained = model(task)
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build(trained.trainable_variables)
    step = steps.make_train_step(
        tf.distribute.get_strategy(),
        trained,
        optimizer,
        task,
        OptimizerConfig(**options),
        len(SIGNALS),
        xla=xla,
    )
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
    expected = [
        before - gradient
        for before, gradient in zip(
            weights(model(ToyTask())), plain_gradients(inputs, targets), strict=True
        )
    ]
    for after, value in zip(weights(trained), expected, strict=True):
        np.testing.assert_allclose(after, value, atol=1e-6)


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
    trained = model(task)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(trained.trainable_variables)
    options = OptimizerConfig(clip="global", skip_nonfinite=skips)
    step = steps.make_train_step(
        tf.distribute.get_strategy(), trained, optimizer, task, options, 0, xla=False
    )
    inputs, targets, row_weights = task.batch(rows(20))
    step(inputs, targets, row_weights, SIGNALS[:0])
    before = [v.numpy() for v in [*trained.weights, *optimizer.variables]]
    poisoned = inputs.copy()
    poisoned[7, 2] = np.nan
    norm = step(poisoned, targets, row_weights, SIGNALS[:0]).numpy()[-1]
    assert not np.isfinite(norm)
    after = [v.numpy() for v in [*trained.weights, *optimizer.variables]]
    same = all(map(np.array_equal, before, after))
    assert same == skips


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
    trained = model(task)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(trained.trainable_variables)
    step = steps.make_train_step(
        tf.distribute.get_strategy(),
        trained,
        optimizer,
        task,
        OptimizerConfig(),
        len(SIGNALS),
        xla=False,
        timed=True,
    )
    inputs, targets, row_weights = task.batch(rows(20))
    seen = [time.time()]
    for _ in range(3):
        numbers, times = step(inputs, targets, row_weights, SIGNALS)
        assert numbers.numpy()[0] == 20
        seen += [*times.numpy(), time.time()]
    assert seen == sorted(seen)
