"""A checkpoint with every option stands alone, loaded or exported, and sees mirror images too."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lazily import Lazily, keras, tf
from tiny import RunJob

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.ink import ink_to_strokes
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.checkpoints import Position

classifiers = Lazily("rnnray.sketch.classifier")
checkpoints = Lazily("rnnray.training.checkpoints")

CONFIG = SketchConfig.model_validate(
    {
        "model": {
            "max_points": 24,  # few steps to compute
            "long_drawings": "simplify",
            "filters": [4, 4, 4],
            "units": 4,
            "layers": 1,
            "bidirectional": True,
            "mask_padding": True,
            "same_padding": True,
            "features": ["position", "direction", "strokes"],
            "pooling": ["mean", "max", "attention"],
            "bitmap": {"size": 16, "filters": [3, 4]},
            "augmentation": {"rotation": 10, "drop_strokes": 0.1},
        }
    }
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    task = SketchTask(CONFIG, tuple(demo_drawings.CLASS_NAMES))
    keras.utils.set_random_seed(0)
    model = task.build_model(unroll=True)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    checkpoints.save(folder, model, optimizer, Position(), task.checkpoint_files())
    return str(folder)


def drawings() -> pa.Table:
    return sketch_table.from_arrays(*demo_drawings.inks(8, seed=1), demo_drawings.CLASS_NAMES)


def mirrored(table: pa.Table) -> pa.Table:
    inks = [ink * np.array([-1, 1, 1], np.float32) for ink in sketch_table.inks_of(table)]
    return sketch_table.from_inks(inks, table["class_index"].to_pylist(), demo_drawings.CLASS_NAMES)


@pytest.mark.usefixtures("not_compiled")
def test_mirroring_takes_the_mean_over_both_images(checkpoint: str) -> None:
    plain = classifiers.SketchClassifier(checkpoint)
    both = classifiers.SketchClassifier(checkpoint, mirror=True)
    one, other = (np.exp(plain.log_probabilities(t)) for t in (drawings(), mirrored(drawings())))
    scores = np.exp(both.log_probabilities(drawings()))
    np.testing.assert_allclose(scores, (one + other) / 2, atol=1e-6)
    np.testing.assert_allclose(
        np.exp(both.log_probabilities(mirrored(drawings()))), scores, atol=1e-6
    )
    assert np.abs(one - other).max() > 1e-5


@pytest.mark.usefixtures("not_compiled")
def test_a_file_s_name_without_a_dot_is_a_saved_model_that_needs_ink_and_nothing_else(
    checkpoint: str, tmp_path: Path, run_here: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # the job hides GPUs
    folder, count = tmp_path / "saved", len(demo_drawings.CLASS_NAMES)
    ended = run_here("export_sketch", "--checkpoint", checkpoint, "--output", str(folder))
    assert ended.result == {"output": str(folder), "format": "SavedModel", "classes": count}
    classifier = classifiers.SketchClassifier(checkpoint)
    served = tf.saved_model.load(str(folder))
    ink, *_ = SketchTask(CONFIG, tuple(demo_drawings.CLASS_NAMES)).batch(drawings())
    np.testing.assert_allclose(
        served.serve(ink), np.exp(classifier.log_probabilities(drawings())), atol=1e-5
    )
    name, probability = classifier.classify([s.T.tolist() for s in ink_to_strokes(ink[0])])[0]
    assert name in demo_drawings.CLASS_NAMES
    assert 0 < probability <= 1
