"""Runs that go on to more epochs, or begin with another run's weights, and what they refuse."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import ray.data
import toy
from tiny_chorale import TrainedChorale
from toy import ToyTask

from rnnray import run_folder
from rnnray.errors import UserError
from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.training_options import OptimizerConfig, RunOptions, TrainingConfig

ROWS = toy.rows(128)


def train(
    folder: Path, name: str = "toy", data: dict[str, Any] | None = None, **asked: Any
) -> TrainedRun:
    for module in (toy, sys.modules[__name__]):  # the workers do not find modules of the tests
        ray.cloudpickle.register_pickle_by_value(module)
    adam = OptimizerConfig(name="adam", learning_rate=0.01, schedule="cosine")
    return driver.train(
        ToyTask(),
        TrainingConfig(optimizer=adam, global_batch_size=16, **asked),
        RunOptions(storage_path=str(folder), name=name),
        TrainingData(Blocks.of([ROWS]), Blocks.of([ROWS]), data or {"rows": 128}),
    )


def test_a_finished_run_goes_on_to_more_epochs_and_another_begins_with_its_weights(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, epochs=1)
    assert not (tmp_path / "toy/lock.json").exists()
    with pytest.raises(UserError, match=r"on other data: rows \(128 there, 127 now\)"):
        train(tmp_path, data={"rows": 127}, epochs=2)
    with (
        run_folder.lock(str(tmp_path / "toy")),
        pytest.raises(UserError, match="another run is writing there"),
    ):
        train(tmp_path, epochs=2)
    capsys.readouterr()

    more = train(tmp_path, epochs=2)
    assert [epoch["epoch"] for epoch in more.history] == [1, 2]
    assert more.history[0]["learning_rate"] < 1e-3
    out = capsys.readouterr().out
    assert "epochs: 2 instead of 1; weights and optimizer go on as they were" in out
    assert "after epoch 1 the learning rate is 50% of its peak, where it was 0" in out
    assert "resumed in epoch 2 of 2, after step 0" in out

    other = train(tmp_path, "other", epochs=1, init_from=more.last)
    assert "begins with 4 of 4 arrays of weights of" in capsys.readouterr().out
    # It begins where the other ended: 64 points are not learned in eight small steps.
    assert other.history[0]["loss"] < more.history[0]["loss"]
    assert dataclasses.asdict(other)["folder"] == str(tmp_path / "other")


def test_a_composer_begins_with_another_s_weights_on_another_corpus(
    trained_chorale: TrainedChorale, run_here: Any, tmp_path: Path
) -> None:
    ended = run_here(
        "train_chorale",
        *("--config", str(trained_chorale.config), "--epochs", "1"),
        *("--data", str(trained_chorale.corpus / "train"), "--split", "80:10:10"),
        *("--init-from", str(trained_chorale.checkpoint)),
        *("--storage-path", str(tmp_path), "--name", "other"),
    )
    assert ended.code == 0, ended.out + ended.err
    assert f"arrays of weights of {trained_chorale.checkpoint}" in ended.out
    assert "begins anew" not in ended.out
    first = trained_chorale.ended.out.partition("loss ")[2].partition(" ")[0]
    assert float(ended.out.partition("loss ")[2].partition(" ")[0]) < float(first)
