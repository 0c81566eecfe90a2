"""Kills, storage that refuses, numbers that overflow, a notice: each in the smallest run that shows
it.

The others are told by `make faults`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import ray
import ray.train
import toy
from nodes import runs
from observed import wait_until
from tiny import HELD_OUT, REPOSITORY, TINY
from toy import ToyTask
from toy_faults import Aside

from rnnray import run_folder
from rnnray.errors import UserError
from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.training_options import OptimizerConfig, RunOptions, TrainingConfig

TRAIN, BATCH = 612, 18
STEPS = TRAIN // BATCH
# Weights that stay as they are: then the loss of every epoch is the mean over all training rows,
# known beforehand, and a row that is left out or counted twice shows in it.
STILL = OptimizerConfig(name="sgd", learning_rate=1e-30, schedule="cosine")


@dataclass(frozen=True)
class KilledOnce(ToyTask):
    """Kills the process of the first worker that makes its batch number `batches` of the second
    epoch, once.
    """

    folder: str = ""
    batches: int = 0
    made: ClassVar[list[int]] = []

    def batch(self, rows: Any) -> Any:
        folder = Path(self.folder)
        if (folder / "toy/epoch-0001/model.keras").exists():
            self.made.append(len(rows))
        if len(self.made) == self.batches:
            try:
                (folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                # Ray Train's controller looks for new checkpoints every two seconds.
                time.sleep(6)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(rows)


class NeedsNoTensorFlow(ray.train.UserCallback):
    """Fails the run if Ray Train's controller, where callbacks run, has imported TensorFlow, which
    costs it seconds and 500 MB.
    """

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        assert "tensorflow" not in sys.modules, "the controller has imported TensorFlow"


def train_toy(
    task: ToyTask, storage: Path, *, epochs: int = 2, rows: int = TRAIN, **options: Any
) -> TrainedRun:
    """Train the toy on the cluster."""
    # Sent whole: the workers do not find modules of the tests.
    ray.cloudpickle.register_pickle_by_value(toy)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    training, held_out = toy.rows(rows), toy.rows(HELD_OUT, seed=1)
    return driver.train(
        task,
        TrainingConfig(
            optimizer=STILL, epochs=epochs, global_batch_size=BATCH, shuffle_rows=100, seed=5
        ),
        RunOptions(storage_path=str(storage), name="toy", **options),
        TrainingData(
            Blocks.of(training.slice(i, 51) for i in range(0, rows, 51)),
            Blocks.of(held_out.slice(i, 43) for i in range(0, HELD_OUT, 43)),
            {"rows": rows},
        ),
        callbacks=[NeedsNoTensorFlow()],
    )


def mean_loss(checkpoint: str, rows: Any) -> float:
    import keras  # noqa: PLC0415

    inputs, targets, _ = ToyTask().batch(rows)
    model = keras.saving.load_model(f"{checkpoint}/model.keras")
    return float(np.mean(ToyTask().row_losses(targets, model(inputs))))


def check_whole_epochs(run: TrainedRun, epochs: int = 2) -> None:
    assert [metrics["epoch"] for metrics in run.history] == [*range(1, epochs + 1)]
    losses = mean_loss(run.last, toy.rows(TRAIN)), mean_loss(run.last, toy.rows(HELD_OUT, seed=1))
    for metrics in run.history:
        assert metrics["steps"] == STEPS
        assert metrics["validation_count"] == HELD_OUT
        assert metrics["loss"] == pytest.approx(losses[0], rel=1e-6)
        assert metrics["validation_loss"] == pytest.approx(losses[1], rel=1e-6)
    assert Path(run.last).name == f"epoch-000{epochs}"
    assert Path(run.best).is_dir()
    assert run.best.startswith(run.folder)


def test_the_loss_would_show_a_missing_row() -> None:
    """What `check_whole_epochs` relies on."""
    model = ToyTask().build_model(unroll=True)
    inputs, targets, _ = ToyTask().batch(toy.rows(TRAIN))
    losses = np.asarray(ToyTask().row_losses(targets, model(inputs)))
    without_one = (losses.sum() - losses) / (TRAIN - 1)
    assert np.median(np.abs(without_one / losses.mean() - 1)) > 1e-4


def test_a_storage_that_refuses_and_a_killed_worker_cost_no_epoch_and_count_none_twice(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "toy" / "epoch-0001"
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    out = ""

    def mend() -> None:
        def refused() -> bool:
            nonlocal out
            out += capsys.readouterr().out
            return "the storage refuses" in out

        wait_until(refused)
        blocked.unlink()

    task = KilledOnce(folder=str(tmp_path), batches=STEPS // 2)
    with Aside(mend):
        run = train_toy(task, tmp_path, workers="1:2", max_failures=1)
    out += capsys.readouterr().out
    assert (tmp_path / "killed").exists(), "nobody was killed"
    check_whole_epochs(run)
    assert "written after" in out
    assert re.search(r"worker \d failed", out), out
    assert "starting the workers again, from the last checkpoint" in out
    assert re.search(r"training on \d worker", out)
    assert "resumed in epoch 2 of 2, after step 0" in out
    assert out.count("epoch 1/2 done") == out.count("epoch 2/2 done") == 1


def test_a_killed_run_goes_on_from_the_checkpoint_before_a_damaged_one_and_to_more_epochs(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = KilledOnce(folder=str(tmp_path), batches=STEPS - 10)
    options: dict[str, Any] = {"max_failures": 0, "checkpoint_minutes": 1e-6}
    with pytest.raises(Exception, match=r"(?i)worker"):
        train_toy(task, tmp_path, **options)
    assert not (tmp_path / "toy/lock.json").exists()
    with pytest.raises(UserError, match=rf"on other data: rows \({TRAIN} there, 600 now\)"):
        train_toy(task, tmp_path, rows=600, **options)
    with (
        run_folder.lock(str(tmp_path / "toy")),
        pytest.raises(UserError, match="another run is writing there"),
    ):
        train_toy(task, tmp_path, **options)

    *_, before, last = sorted((tmp_path / "toy").glob("epoch-0001-step-*"))
    os.truncate(last / "model.keras", (last / "model.keras").stat().st_size // 2)
    position = json.loads((before / "position.json").read_text())
    step = position["step"]
    assert (position["epoch"], len(position["history"])) == (1, 1)
    assert 0 < step < STEPS
    assert step % 8 == 0
    assert position["sums"][0] == step * BATCH
    capsys.readouterr()

    run = train_toy(task, tmp_path, epochs=3, **options)
    check_whole_epochs(run, 3)
    out = capsys.readouterr().out
    assert "epochs: 3 instead of 2; weights and optimizer go on as they were" in out
    assert "after epoch 2 the learning rate is 25% of its peak, where it was 0" in out
    assert f"checkpoint {last.name} cannot be used: model.keras is damaged" in out
    assert f"going on from {before.name}" in out
    assert f"resumed in epoch 2 of 3, after step {step}" in out
    # The best and the last are kept, and one before it, should the last one be damaged.
    kept = sorted(path.name for path in (tmp_path / "toy").glob("epoch-*"))
    assert len(kept) == 2
    assert kept[1] == Path(run.best).name == Path(run.last).name
    assert kept[0].startswith("epoch-0002-step-")


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


def test_a_driver_that_gets_sigterm_leaves_a_checkpoint_and_one_line(
    ray_cluster: None, tmp_path: Path
) -> None:
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY | {"data": "demo:3010", "epochs": 50}))
    out = tmp_path / "out"
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    driver = subprocess.Popen(
        [
            *(sys.executable, "-u", "jobs/train_sketch.py", "--preset", "notebook"),
            *("--config", str(config), "--storage-path", str(tmp_path), "--name", "run"),
        ],
        cwd=REPOSITORY,
        env=environment,
        stdout=out.open("w"),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: "epoch 1/50" in out.read_text() or not runs(driver.pid))
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)
    said = out.read_text()
    assert driver.returncode == 143, said + err
    assert err == "error: stopped by SIGTERM; the same command resumes from what was saved\n"
    (step,) = re.findall(r"worker 0 was told to leave: checkpoint at step (\d+)", said)
    (checkpoint,) = (tmp_path / "run").glob(f"epoch-*-step-{int(step):07d}")
    position = json.loads((checkpoint / "position.json").read_text())
    assert position["step"] == int(step)
    assert (checkpoint / "model.keras").is_file()
