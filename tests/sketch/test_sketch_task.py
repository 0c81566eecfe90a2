"""Loss and metrics of a drawing, against plain numpy."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from lazily import tf

from rnnray.class_evaluation import judged
from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.sketch_config import SketchConfig, notebook, strong
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.task import found

NAMES = tuple("abcdefgh")
TASK = SketchTask(notebook(), NAMES)
# Few different values, so that ties are common.
LOGITS = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.just(len(NAMES))),
    elements=st.one_of(
        st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
        st.floats(-5, 5, width=32, allow_subnormal=False),  # TensorFlow takes those for 0
    ),
)


def within(logits: np.ndarray, targets: np.ndarray, k: int) -> list[bool]:
    """Plainly: fewer than k other classes are at least as probable as the right one."""
    result = []
    for row, target in zip(logits, targets, strict=True):
        others = [value for index, value in enumerate(row) if index != target]
        rivals = sum(1 for value in others if not value < row[target])
        result.append(bool(rivals < k and not np.isnan(row[target])))
    return result


def metrics(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Compiled, as in training: the optimiser of graphs has its own view of comparisons."""
    return np.asarray(compiled()(tf.constant(targets), tf.constant(logits)))


@cache
def compiled() -> Any:
    return tf.function(TASK.row_metrics, reduce_retracing=True)


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.integers(0, 2**20))
def test_top_1_and_top_5_are_a_plain_count_of_the_classes_before(
    logits: np.ndarray, seed: int
) -> None:
    targets = np.random.default_rng(seed).integers(0, len(NAMES), len(logits))
    ours = metrics(logits, targets)
    assert ours[:, 0].tolist() == within(logits, targets, 1)
    assert ours[:, 1].tolist() == within(logits, targets, 5)


def test_without_ties_they_are_numpy_s_own_top_k() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(500, 8)).astype(np.float32), rng.integers(0, 8, 500)
    order = np.argsort(-logits, axis=1)
    ours = metrics(logits, targets)
    np.testing.assert_array_equal(ours[:, 0], order[:, 0] == targets)
    np.testing.assert_array_equal(ours[:, 1], (order[:, :5] == targets[:, None]).any(1))


@pytest.mark.parametrize("xla", [False, True])
def test_neither_ties_nor_nan_are_right_in_any_kind_of_compiled_code(xla: bool) -> None:
    nan = np.nan
    few = [[nan] * 4, [3, 2, 1, 0], [3, 2, nan, 0], [nan, 0, 0, 0]]  # all are within five
    step = tf.function(TASK.row_metrics, jit_compile=xla)
    for logits, expected in (few, [[0, 0], [1, 1], [0, 1], [0, 0]]), ([[0] * 8], [[0, 0]]):
        targets = tf.zeros([len(logits)], tf.int64)
        assert step(targets, tf.constant(logits, tf.float32)).numpy().tolist() == expected


@settings(max_examples=50, deadline=None)
@given(LOGITS, st.integers(0, 2**20), st.booleans())
def test_evaluation_counts_right_drawings_as_training_does(
    logits: np.ndarray, seed: int, diverged: bool
) -> None:
    targets = np.random.default_rng(seed).integers(0, len(NAMES), len(logits))
    if diverged:
        logits = np.full_like(logits, np.nan)

    rows = pa.table({"class_index": targets})
    found_there = judged(rows, logits, np.zeros(len(targets), np.bool_))
    ours = np.stack([found_there["top1"].to_numpy(), found_there["top5"].to_numpy()], axis=1)
    np.testing.assert_array_equal(ours, metrics(logits, targets))


def test_no_drawings_have_no_metrics() -> None:
    assert metrics(np.zeros((0, 8), np.float32), np.zeros(0, np.int64)).shape == (0, 2)
    assert found(np.zeros(0, np.int64), np.zeros((0, 8), np.float32)).shape == (0, 2)


def test_the_loss_is_the_cross_entropy_in_nats() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=20, size=(50, 8)).astype(np.float32)
    targets = rng.integers(0, 8, 50)
    exact = logits.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    expected = np.log(np.exp(exact).sum(1)) - exact[np.arange(50), targets]
    np.testing.assert_allclose(TASK.row_losses(targets, logits), expected, atol=1e-4)


def test_label_smoothing_is_cross_entropy_to_smoothed_targets_in_training_alone() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(20, 8)).astype(np.float32)
    targets = rng.integers(0, 8, 20)
    smoothed = SketchTask(notebook().model_copy(update={"label_smoothing": 0.2}), NAMES)
    losses = smoothed.row_losses(targets, logits)
    np.testing.assert_array_equal(losses, TASK.row_losses(targets, logits))
    shares = np.eye(8)[targets] * 0.8 + 0.2 / 8
    logs = logits - np.log(np.exp(logits.astype(np.float64)).sum(1, keepdims=True))
    expected = -(shares * logs).sum(1)
    np.testing.assert_allclose(smoothed.objective(losses, logits), expected, atol=1e-5)
    assert TASK.objective(losses, logits) is losses


def test_long_drawings_are_cropped_or_simplified() -> None:
    ink = np.tile(np.array([[1 / 300, 0, 0]], np.float32), (300, 1))
    ink[[150, 299]] = [[0, 1, 0], [1 / 300, 0, 1]]
    rows = sketch_table.from_inks([ink], [0], NAMES)
    cropped, *_ = TASK.batch(rows)
    np.testing.assert_array_equal(cropped[0], ink[:100])
    config = SketchConfig.model_validate({"model": {"long_drawings": "simplify"}})
    simplified, *_ = SketchTask(config, NAMES).batch(rows)
    np.testing.assert_allclose(simplified[0].sum(0), [299 / 300, 1, 1], atol=1e-5)
    assert np.abs(simplified[0, :, 1]).max() == 1  # the corner is there


def test_a_batch_is_padded_ink_and_class_indices() -> None:
    rows = sketch_table.from_arrays(*demo_drawings.inks(7, seed=0), demo_drawings.CLASS_NAMES)
    ink, classes, _ = TASK.batch(rows)
    assert ink.shape == (7, 100, 3)
    assert ink.dtype == np.float32
    assert classes.tolist() == rows["class_index"].to_pylist()


def test_a_checkpoint_says_its_configuration_and_its_classes_and_has_a_model_card() -> None:
    files = SketchTask(strong(), ("The Eiffel Tower", "naïve")).checkpoint_files()
    assert SketchConfig.model_validate(yaml.safe_load(files["config.yaml"])) == strong()
    assert files["classes.txt"] == "The Eiffel Tower\nnaïve\n"
    card = files["README.md"]
    for said in ("2 classes", "`The Eiffel Tower`, `naïve`", "`demo`", "CC BY 4.0", "## Not for"):
        assert said in card
    assert files["config.yaml"] in card
