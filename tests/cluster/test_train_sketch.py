"""Runs of several processes: what they leave behind, and how they go on after a death."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import ray.data
import ray.train
import toy
import yaml
from tiny import HELD_OUT, SOURCE, TINY, Trained
from toy import ToyTask

from rnnray.errors import UserError
from rnnray.sketch import sketch_training
from rnnray.sketch.classifier import SketchClassifier
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.sketch_config import SketchConfig, notebook
from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.run_options import RunOptions
from rnnray.training.training_config import OptimizerConfig, TrainingConfig

TRAIN, BATCH = 612, 18
STEPS = TRAIN // BATCH
# Weights that stay as they are: then the loss of every epoch is the mean over all training rows,
# known beforehand, and a row that is left out or counted twice shows in it.
STILL = OptimizerConfig(name="sgd", learning_rate=1e-30)


@dataclass(frozen=True)
class KilledOnce(ToyTask):
    """Kills the process of the first worker that makes its batch number `batches`, once."""

    marker: str = ""
    batches: int = 0
    made: ClassVar[list[int]] = []

    def batch(self, rows: Any) -> Any:
        self.made.append(len(rows))
        if len(self.made) == self.batches:
            try:
                os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                # Ray Train's controller looks for new checkpoints every two seconds.
                time.sleep(6)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(rows)


def train_toy(task: ToyTask, storage: Path, **options: Any) -> TrainedRun:
    """Two epochs of the toy on the cluster."""
    # Sent whole: the workers do not find modules of the tests.
    ray.cloudpickle.register_pickle_by_value(toy)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    rows, held_out = toy.rows(TRAIN), toy.rows(HELD_OUT, seed=1)
    return driver.train(
        task,
        TrainingConfig(
            optimizer=STILL, epochs=2, global_batch_size=BATCH, shuffle_rows=100, seed=5
        ),
        RunOptions(storage_path=str(storage), name="toy", **options),
        TrainingData(
            Blocks.of(rows.slice(i, 51) for i in range(0, TRAIN, 51)),
            Blocks.of(held_out.slice(i, 43) for i in range(0, HELD_OUT, 43)),
        ),
    )


def mean_loss(checkpoint: str, rows: Any) -> float:
    import keras  # noqa: PLC0415

    inputs, targets, _ = ToyTask().batch(rows)
    model = keras.saving.load_model(f"{checkpoint}/model.keras")
    return float(np.mean(ToyTask().row_losses(targets, model(inputs))))


def check_two_whole_epochs(run: TrainedRun) -> None:
    assert [metrics["epoch"] for metrics in run.history] == [1, 2]
    losses = mean_loss(run.last, toy.rows(TRAIN)), mean_loss(run.last, toy.rows(HELD_OUT, seed=1))
    for metrics in run.history:
        assert metrics["steps"] == STEPS
        assert metrics["validation_count"] == HELD_OUT
        assert metrics["loss"] == pytest.approx(losses[0], rel=1e-6)
        assert metrics["validation_loss"] == pytest.approx(losses[1], rel=1e-6)
    assert Path(run.last).name == "epoch-0002"
    assert Path(run.best).is_dir()
    assert run.best.startswith(run.folder)


def test_the_loss_would_show_a_missing_row() -> None:
    """What `check_two_whole_epochs` relies on."""
    model = ToyTask().build_model(unroll=True)
    inputs, targets, _ = ToyTask().batch(toy.rows(TRAIN))
    losses = np.asarray(ToyTask().row_losses(targets, model(inputs)))
    without_one = (losses.sum() - losses) / (TRAIN - 1)
    assert np.median(np.abs(without_one / losses.mean() - 1)) > 1e-4


def test_a_killed_worker_costs_no_epoch_and_counts_none_twice(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A worker has 34 batches an epoch, and 1 or 2 of validation: this is within the second epoch.
    marker = tmp_path / "killed"
    task = KilledOnce(marker=str(marker), batches=STEPS + 2 + STEPS // 2)
    run = train_toy(task, tmp_path, workers=2, max_failures=1)
    assert marker.exists(), "nobody was killed"
    check_two_whole_epochs(run)
    lines = capsys.readouterr().out
    assert "starting the workers again, from the last checkpoint" in lines
    assert "resumed at epoch 2 of 2, behind step 0" in lines
    assert lines.count("epoch 1/2 done") == lines.count("epoch 2/2 done") == 1


def test_a_killed_run_goes_on_within_its_epoch_and_from_the_checkpoint_before_a_damaged_one(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = KilledOnce(marker=str(tmp_path / "killed"), batches=STEPS + 2 + STEPS - 3)
    options = {"max_failures": 0, "checkpoint_minutes": 1e-6}
    with pytest.raises(Exception, match=r"(?i)worker"):
        train_toy(task, tmp_path, **options)

    last = max((tmp_path / "toy").glob("epoch-0001-step-*"))
    position = json.loads((last / "position.json").read_text())
    step = position["step"]
    assert (position["epoch"], len(position["history"])) == (1, 1)
    assert 0 < step < STEPS
    assert step % 8 == 0
    assert position["sums"][0] == step * BATCH
    capsys.readouterr()

    run = train_toy(task, tmp_path, **options)
    check_two_whole_epochs(run)
    assert f"resumed at epoch 2 of 2, behind step {step}" in capsys.readouterr().out
    # The best and the last are kept, and one before it, should the last one be damaged.
    kept = sorted(path.name for path in (tmp_path / "toy").glob("epoch-*"))
    assert len(kept) == 2
    assert kept[1] == Path(run.best).name == Path(run.last).name
    assert kept[0].startswith("epoch-0001-step-")

    file = Path(run.last) / "model.keras"
    os.truncate(file, file.stat().st_size // 2)
    check_two_whole_epochs(train_toy(task, tmp_path, **options))
    lines = capsys.readouterr().out
    assert "checkpoint epoch-0002 cannot be used: model.keras is damaged" in lines
    assert f"going on from {kept[0]}" in lines
    assert "resumed at epoch 2 of 2, behind step " in lines


@dataclass(frozen=True)
class Overflows(ToyTask):
    """The second worker has a point that is infinite, in the second epoch."""

    made: ClassVar[list[int]] = []

    def batch(self, rows: Any) -> Any:
        inputs, targets, row_weights = super().batch(rows)
        self.made.append(len(rows))
        late = ray.train.get_context().get_world_rank() == 1 and len(self.made) > STEPS + 10
        if late:
            inputs[0, 0] = np.inf
        return inputs, targets, row_weights


def test_training_that_diverged_on_one_worker_ends_on_all_and_names_the_last_good_checkpoint(
    ray_cluster: None, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        train_toy(Overflows(), tmp_path, workers=2)
    line = str(error.value)
    assert "training diverged: epoch 2, step " in line
    assert line.endswith(f"last good checkpoint: {tmp_path / 'toy/epoch-0001'}")
    assert mean_loss(str(tmp_path / "toy/epoch-0001"), toy.rows(TRAIN)) > 0


def test_the_job_says_what_it_does_and_ends_with_its_result(trained: Trained) -> None:
    result = trained.ended.result
    assert set(result) >= {"top1", "top5", "loss", "count", "checkpoint"}
    assert (result["count"], result["split"], result["epochs"]) == (HELD_OUT, "test", 1)
    assert 0 <= result["top1"] <= result["top5"] <= 1
    assert (result["export"], result["skipped"]) == (str(trained.exported), 0)
    assert trained.ended.err == ""
    out = trained.ended.out
    assert "2 worker(s)" in out
    assert "epoch 1/1 done  loss" in out
    assert "sketches/s" in out
    assert "waiting for data" in out
    assert f"validation of {HELD_OUT} sketches" in out


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
        | {"data": SOURCE, "epochs": 1, "global_batch_size": 64}
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


def again(trained: Trained, **changes: Any) -> dict[str, Any]:
    """The same run once more, in this process and on one worker."""
    saved = yaml.safe_load((trained.storage / "shared/config.yaml").read_text())
    return sketch_training.train(
        SketchConfig.model_validate(saved | changes),
        open_drawings(SOURCE),
        RunOptions(storage_path=str(trained.storage), name="shared"),
    )


def test_a_finished_run_called_again_gives_the_same_result_and_trains_nothing(
    ray_cluster: None, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (trained.checkpoint / "model.keras").stat().st_mtime_ns
    result = again(trained)
    assert result == {
        name: value
        for name, value in (trained.ended.result | {"export": None}).items()
        if name not in ("skipped", "passed_over")  # of the job
    }
    out = capsys.readouterr().out
    assert "resuming" in out
    assert "all epochs are done" in out
    assert "epoch 1/1" not in out
    assert (trained.checkpoint / "model.keras").stat().st_mtime_ns == weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 43}, r"holds a run of another configuration: seed \(42 there, 43 now\)"),
        (
            {"model": TINY["model"] | {"units": 9}, "epochs": 2},
            r"configuration: model\.units \(8 there, 9 now\); .* \(epochs may be more\)",
        ),
    ],
)
def test_another_configuration_under_the_same_name_is_refused_by_the_fields_that_differ(
    ray_cluster: None, trained: Trained, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        again(trained, **changes)
