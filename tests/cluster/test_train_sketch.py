"""Training the sketch classifier by several processes, and what its run leaves behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from tiny import HELD_OUT, SOURCE, TINY, RunJob, Trained

from rnnray.sketch.classifier import SketchClassifier
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.sketch_config import SketchConfig, notebook


def test_the_job_says_what_it_does_and_ends_with_its_result(trained: Trained) -> None:
    result = trained.ended.result
    assert set(result) >= {"top1", "top5", "loss", "count", "checkpoint"}
    assert (result["count"], result["split"], result["epochs"]) == (HELD_OUT, "test", 1)
    assert 0 <= result["top1"] <= result["top5"] <= 1
    assert (result["export"], result["skipped"]) == (str(trained.exported), 1)
    assert trained.ended.err == ""
    out = trained.ended.out
    assert "3 worker(s)" in out
    assert "epoch 1/1 done  loss" in out
    assert "sketches/s" in out
    assert "waiting for data" in out
    # Every drawing once, though three workers cannot share them equally.
    assert f"validation of {HELD_OUT} sketches" in out
    assert "skipped 1 drawings that cannot be used" in out
    found = f"damaged record (wrong checksum of the payload) at byte {trained.offset}"
    assert f"{trained.damaged}: {found}" in out


def test_the_run_leaves_a_checkpoint_pictures_and_tensorboard_files(trained: Trained) -> None:
    files = {path.name for path in trained.checkpoint.iterdir()}
    assert files == {
        "model.keras",
        "optimizer.npz",
        "position.json",
        "config.yaml",
        "classes.txt",
        "README.md",
    }
    assert trained.checkpoint.parent == trained.storage / "shared"
    pictures = {path.name for path in (trained.storage / "shared/pictures").iterdir()}
    assert pictures == {
        "sketches.png",
        "lengths.png",
        "learning_curves.png",
        "confusions.png",
        "predictions.png",
    }
    assert list((trained.storage / "shared/tensorboard").glob("events.*"))


def test_the_saved_configuration_is_the_effective_one(trained: Trained) -> None:
    expected = SketchConfig.model_validate(
        notebook().model_dump()
        | {"data": str(trained.damaged.parent), "epochs": 1, "global_batch_size": 64}
        | {"model": notebook().model.model_dump() | TINY["model"]}
        | {"optimizer": notebook().optimizer.model_dump() | TINY["optimizer"]}
    )
    for folder in (trained.checkpoint, trained.storage / "shared"):
        saved = yaml.safe_load((folder / "config.yaml").read_text())
        assert SketchConfig.model_validate(saved) == expected


def test_the_export_gives_the_same_probabilities_without_our_code(
    trained: Trained, tmp_path: Path
) -> None:
    drawings = open_drawings(SOURCE).parts("test")[0]
    rows = next(drawings.tables(origin=False, on_bad=None))
    classifier = SketchClassifier(str(trained.checkpoint))
    np.save(tmp_path / "ink.npy", sketch_table.padded(rows, 100)[0])
    script = """
import sys
import numpy as np
import tensorflow as tf
folder, ink, output = sys.argv[1:]
model = tf.saved_model.load(folder)
np.save(output, model.serve(np.load(ink)).numpy())
assert not any(name.partition(".")[0] in ("rnnray", "ray") for name in sys.modules)
"""
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c", script),
            *(str(trained.exported), tmp_path / "ink.npy", tmp_path / "out.npy"),
        ],
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    probabilities = np.load(tmp_path / "out.npy")
    assert probabilities.shape == (HELD_OUT, len(classifier.class_names))
    np.testing.assert_allclose(probabilities, np.exp(classifier.log_probabilities(rows)), atol=1e-5)
    names = (trained.exported / "classes.txt").read_text().splitlines()
    assert tuple(names) == classifier.class_names


def test_a_damaged_record_ends_training_on_two_workers_by_file_and_offset(
    run_here: RunJob, trained: Trained, tmp_path: Path
) -> None:
    ended = run_here(
        "train_sketch",
        *("--config", str(trained.config), "--preset", "notebook", "--workers", "2"),
        *("--storage-path", str(tmp_path / "runs")),
    )
    line = ended.failed_with()
    assert line.startswith(f"error: {trained.damaged}: damaged record")
    assert f"at byte {trained.offset};" in line
    # Starting again would meet the same record.
    assert "starting the workers again" not in ended.out


def test_bad_input_is_one_line_of_a_process_too(run_job: RunJob, tmp_path: Path) -> None:
    ended = run_job("train_sketch", "--data", str(tmp_path / "nowhere"), timeout=60)
    assert ended.failed_with() == f"error: {tmp_path}/nowhere: no such file or folder"
    assert ended.out == ""
