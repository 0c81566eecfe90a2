"""Pooling is over the steps that hold drawing, and over no others."""

import numpy as np
import pytest
from lazily import Lazily

pooling = Lazily("rnnray.sketch.pooling")

STEPS = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
LENGTHS = np.array([6, 1, 4])
DRAWN = np.arange(6) < LENGTHS[:, None]


def test_mean_and_maximum_are_numpy_s_own() -> None:
    pooled = np.asarray(pooling.StepPooling(("mean", "max"))(STEPS, DRAWN))
    for row, steps, length in zip(pooled, STEPS, LENGTHS, strict=True):
        expected = np.concatenate([steps[:length].mean(0), steps[:length].max(0)])
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_attention_is_a_mean_with_learned_weights() -> None:
    layer = pooling.StepPooling(("attention",))
    layer(STEPS, DRAWN)
    score = np.random.default_rng(1).normal(size=(4, 1)).astype(np.float32)
    layer.set_weights([score])
    for row, steps, length in zip(layer(STEPS, DRAWN), STEPS, LENGTHS, strict=True):
        weights = np.exp(steps[:length] @ score)
        np.testing.assert_allclose(
            row, (steps[:length] * weights).sum(0) / weights.sum(), atol=1e-5
        )


@pytest.mark.parametrize("kinds", [("mean",), ("max",), ("attention",), ("mean", "attention")])
def test_what_is_in_the_padding_does_not_count(kinds: tuple[str, ...]) -> None:
    layer = pooling.StepPooling(kinds)
    other = np.where(DRAWN[..., None], STEPS, 9).astype(np.float32)
    np.testing.assert_array_equal(layer(STEPS, DRAWN), layer(other, DRAWN))
