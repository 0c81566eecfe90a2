"""The model: the book's to the letter, and no drawing's result depends on its neighbours."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lazily import Lazily, keras

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.sketch_config import SketchModelConfig, notebook, strong

model = Lazily("rnnray.sketch.sketch_model")

POINTS = 40  # few: every step of an unrolled recurrence is traced
TINY: dict[str, Any] = {"filters": (4, 4, 4), "units": 4, "layers": 1, "max_points": POINTS}


def drawings(count: int, max_points: int = POINTS) -> np.ndarray:
    rows = sketch_table.from_arrays(*demo_drawings.inks(count, seed=1), demo_drawings.CLASS_NAMES)
    return sketch_table.padded(rows, max_points)[0]


def build(config: SketchModelConfig, classes: int = 5, *, unroll: bool = False) -> Any:
    keras.utils.set_random_seed(7)
    return model.build(config, classes, unroll=unroll)


def test_notebook_is_the_book_s_model_layer_for_layer() -> None:
    layers = model.build(notebook().model, 345).layers
    assert [type(layer).__name__ for layer in layers] == [
        "InputLayer",
        *["Conv1D", "BatchNormalization"] * 3,
        "LSTM",
        "LSTM",
        "Dense",
    ]
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv1D)]
    assert [
        (c.filters, c.kernel_size, c.strides, c.padding, c.activation.__name__)
        for c in convolutions
    ] == [
        (32, (5,), (2,), "valid", "relu"),
        (64, (5,), (2,), "valid", "relu"),
        (128, (3,), (2,), "valid", "relu"),
    ]
    recurrent = [layer for layer in layers if isinstance(layer, keras.layers.LSTM)]
    assert [(r.units, r.return_sequences) for r in recurrent] == [(128, True), (128, False)]
    assert not any(r.dropout or r.recurrent_dropout for r in recurrent)
    # By hand: each convolution kernel * inputs * filters + filters, batch normalisation 4 a filter,
    # LSTM 4 * (inputs + units + 1) * units, the dense layer (units + 1) * classes.
    counts = (5 * 3 + 1) * 32 + (5 * 32 + 1) * 64 + (3 * 64 + 1) * 128, 4 * (32 + 64 + 128)
    by_hand = sum(counts) + 2 * 4 * (128 + 128 + 1) * 128 + 129 * 345
    assert sum(layer.count_params() for layer in layers) == by_hand == 344_089


EVERYTHING: dict[str, Any] = {
    "features": ("position", "direction", "strokes"),
    "pooling": ("mean", "max", "attention"),
    "bitmap": {"size": 16, "filters": (3, 4, 5), "samples": 64},
    "augmentation": {"rotation": 10.0, "mirror": 0.5, "drop_strokes": 0.2},
    "bidirectional": True,
    "mask_padding": True,
    "same_padding": True,
    "head_dropout": 0.2,
}


@pytest.mark.parametrize(
    ("options", "unroll"),
    [
        ({"recurrent": "lstm"}, False),
        ({"recurrent": "lstm", "mask_padding": True}, True),
        ({"recurrent": "gru", "mask_padding": True}, False),
        ({"recurrent": "gru"}, True),
        ({"mask_padding": True, "same_padding": True}, False),
        (EVERYTHING, False),
    ],
)
def test_a_drawing_s_logits_depend_neither_on_its_neighbours_nor_on_masked_padding(
    options: dict[str, Any], unroll: bool
) -> None:
    config = {**TINY, "bidirectional": True, **options}
    classifier = build(SketchModelConfig.model_validate(config), unroll=unroll)
    ink = drawings(4)
    together = np.asarray(classifier(ink, training=False))
    alone = np.concatenate([classifier(ink[i : i + 1], training=False) for i in range(4)])
    # Not bit by bit: matrix products of other sizes add up in another order.
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together, axis=0).min() > 1e-3, "the drawings must differ for this to mean a lot"
    if "same_padding" in options:  # or padding decides how many steps there are
        assert (ink[:, -1] == 0).all(), "no drawing may be cropped here"
        longer = build(SketchModelConfig.model_validate(config | {"max_points": 128}))
        longer.set_weights(classifier.get_weights())
        tolerance = 1e-4 if "bitmap" in options else 1e-5
        padded = longer(drawings(4, 128), training=False)
        np.testing.assert_allclose(together, padded, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5),
    st.integers(1, 8),
    st.integers(0, 1000),
)
def test_the_mask_keeps_the_steps_that_begin_within_the_drawing(
    lengths: list[int], stride: int, seed: int
) -> None:
    points = 40
    steps = -(-points // stride)
    rng = np.random.default_rng(seed)
    ink = np.zeros((len(lengths), points, 3), np.float32)
    expected = np.zeros((len(lengths), steps), bool)
    for row, length in enumerate(lengths):
        # Points in the middle may repeat (a row of zeros); the last one ends a stroke.
        ink[row, :length] = rng.integers(-1, 2, (length, 3))
        if length:
            ink[row, length - 1, 2] = 1
        for step in range(steps):
            expected[row, step] = step * stride < length
    expected[:, 0] = True
    np.testing.assert_array_equal(np.asarray(model.DrawnSteps(stride, steps)(ink)), expected)


@pytest.mark.parametrize("preset", [notebook, strong])
def test_presets_build_and_give_one_finite_logit_a_class(preset: Any) -> None:
    classifier = model.build(preset().model, 345)
    logits = np.asarray(classifier(drawings(3, 100), training=False))
    assert logits.shape == (3, 345)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"recurrent": "gru", "layers": 3, "dropout": 0.3, "recurrent_dropout": 0.3},
        {"features": ("strokes",), "layer_normalization": True, "batch_normalization": False},
        {"pooling": ("mean", "max"), "bitmap": {"size": 16, "filters": (4, 4)}},
        {"augmentation": {"rotation": 10.0}, "head_dropout": 0.2, "synchronized": True},
        {"strides": (1, 2, 1), "kernel_sizes": (3, 3, 3), "mask_padding": True},
        EVERYTHING,
    ],
)
def test_every_option_of_the_exercises_builds(options: dict[str, Any]) -> None:
    classifier = build(SketchModelConfig.model_validate({**TINY, **options}))
    assert np.isfinite(np.asarray(classifier(drawings(2), training=True))).all()


def test_options_add_the_layers_that_they_name() -> None:
    def kinds(**options: Any) -> list[str]:
        built = model.build(SketchModelConfig(**TINY | options), 5)
        return [type(layer).__name__ for layer in built.layers]

    assert "BatchNormalization" not in kinds(batch_normalization=False)
    assert kinds(layer_normalization=True).count("LayerNormalization") == 3
    assert kinds(recurrent="gru", layers=2).count("GRU") == 2
    assert kinds(dropout=0.1, layers=2).count("Dropout") == 2
    assert kinds(bidirectional=True).count("BothWays") == 1


def test_unrolling_is_the_same_model_only_faster() -> None:
    config = strong().model.model_copy(update=TINY | {"layers": 2, "max_points": 20})
    rolled, unrolled = build(config), build(config, unroll=True)
    ink = drawings(8, 20)
    np.testing.assert_allclose(
        rolled(ink, training=False), unrolled(ink, training=False), atol=1e-5
    )


def test_changes_to_drawings_are_for_training_alone() -> None:
    config = SketchModelConfig.model_validate({**TINY, "augmentation": {"rotation": 20.0}})
    plain = build(SketchModelConfig.model_validate(TINY))
    classifier = build(config)
    classifier.set_weights(plain.get_weights())
    ink = drawings(4)
    np.testing.assert_array_equal(classifier(ink, training=False), plain(ink, training=False))
    assert np.abs(np.asarray(classifier(ink, training=True) - plain(ink, training=True))).max() > 0


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["strong", "everything"])
def test_a_saved_model_comes_back_with_our_layers_in_it(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    config = strong().model.model_dump() | TINY | options | {"max_points": 20}
    classifier = build(SketchModelConfig.model_validate(config), unroll=True)
    classifier.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ink = drawings(8, 20)
    np.testing.assert_allclose(loaded(ink), classifier(ink), atol=1e-6)


def test_keras_alone_says_which_module_must_be_imported_to_load_a_model(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    build(SketchModelConfig.model_validate(strong().model.model_dump() | TINY)).save(file)
    named = []
    # As a process that has imported nothing of ours: a new one would take seconds.
    with patch.dict(sys.modules), patch.dict(keras.saving.get_custom_objects(), clear=True):
        for name in [name for name in sys.modules if name.partition(".")[0] == "rnnray"]:
            del sys.modules[name]
        while True:
            try:
                keras.saving.load_model(file)
                break
            except (TypeError, ValueError) as error:
                named += re.findall(r"rnnray(?:\.\w+)+", str(error))[:1]
                assert named[-1] not in sys.modules
                importlib.import_module(named[-1])
    assert named
