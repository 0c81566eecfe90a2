"""Clipping, the schedule, and which optimizer a name stands for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lazily import Lazily, keras, tf

from rnnray.training.training_config import OptimizerConfig, TrainingConfig, share_of_peak

optimizers = Lazily("rnnray.training.optimizer")


def gradients(seed: int, scale: float) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        tf.constant(scale * rng.normal(size=shape), tf.float32) for shape in [(3, 4), (4,), (2, 2)]
    ]


def options(**values: object) -> OptimizerConfig:
    return OptimizerConfig.model_validate(values)


def training(total_steps: int = 100, **values: object) -> Any:
    return optimizers.build_optimizer(TrainingConfig.model_validate(values), total_steps)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_clipping_each_variable_is_tensorflow_s(seed: int, scale: float, norm: float) -> None:
    before = gradients(seed, scale)
    ours = optimizers.clip(before, options(clip="variable", clip_norm=norm))
    for mine, gradient in zip(ours, before, strict=True):
        np.testing.assert_allclose(mine, tf.clip_by_norm(gradient, norm), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_clipping_all_together_is_tensorflow_s(seed: int, scale: float, norm: float) -> None:
    before = gradients(seed, scale)
    ours = optimizers.clip(before, options(clip="global", clip_norm=norm))
    theirs, _ = tf.clip_by_global_norm(before, norm)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)


@pytest.mark.parametrize("kind", ["variable", "global"])
def test_gradients_below_the_norm_are_left_exactly_as_they_are(kind: str) -> None:
    before = [*gradients(1, 1e-4), tf.zeros((5,))]
    for mine, gradient in zip(optimizers.clip(before, options(clip=kind)), before, strict=True):
        np.testing.assert_array_equal(mine, gradient)


def test_without_clipping_large_gradients_pass() -> None:
    before = gradients(1, 1e4)
    for mine, gradient in zip(optimizers.clip(before, options(clip="none")), before, strict=True):
        np.testing.assert_array_equal(mine, gradient)


def test_the_schedule_rises_to_its_peak_and_falls_to_zero_at_the_last_step() -> None:
    schedule = optimizers.WarmupCosine(peak=2.0, warmup_steps=10, total_steps=110)
    rates = [float(schedule(step)) for step in range(111)]
    np.testing.assert_allclose(rates[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    expected = 2.0 * 0.5 * (1 + np.cos(np.pi * np.arange(101) / 100))
    np.testing.assert_allclose(rates[10:], expected, atol=1e-6)
    # The first step of all must move the weights, or the first batch is wasted.
    assert rates[0] > 0
    assert float(schedule(500)) == pytest.approx(0, abs=1e-7)


def test_the_schedule_works_without_warm_up() -> None:
    schedule = optimizers.WarmupCosine(peak=1.0, warmup_steps=0, total_steps=10)
    assert float(schedule(0)) == 1.0


def test_the_schedule_survives_keras_s_own_saving() -> None:
    schedule = optimizers.WarmupCosine(peak=2.0, warmup_steps=10, total_steps=110)
    again = optimizers.WarmupCosine.from_config(schedule.get_config())
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
    variable = keras.Variable(0.0)
    optimizer.build([variable])
    for step in range(120):
        if step < 100:
            assert float(optimizer.learning_rate) == pytest.approx((step + 1) / 100, rel=1e-5)
        optimizer.apply([tf.constant(0.0)], [variable])
    assert 0.99 < float(optimizer.learning_rate) < 1.0


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
    schedule = optimizers.WarmupCosine(1.0, round(warmup * 10_000), 10_000)
    for step in (1, 500, 2_500, 5_000, 9_999):
        said = share_of_peak(step / 10_000, warmup)
        assert said == pytest.approx(
            float(schedule(step)), abs=2e-3
        )  # the rise begins at one step, not at none
