"""What a run stores on its way, and how another goes on from there."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from toy import ToyTask
from toy_loop import (
    BATCH,
    STEPS,
    TRAIN_ROWS,
    Interrupt,
    Storage,
    assert_same,
    blocks,
    loop,
    planted,
    weights,
)

from rnnray.training.checkpoints import read_position
from rnnray.training.worker import Leaving

TASK = ToyTask(normalized=True, dropout=0.3)
History = list[dict[str, float]]


class Whole(NamedTuple):
    """A run that nothing interrupted."""

    folder: Path
    history: History
    weights: list[np.ndarray]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    trained = loop(TASK, Storage(folder))
    return Whole(folder, trained.run(), weights(trained))


def test_a_run_that_goes_on_after_an_epoch_ends_with_the_same_weights(
    tmp_path: Path, whole: Whole
) -> None:
    with pytest.raises(Interrupt):
        loop(TASK, Storage(tmp_path / "cut", die_after="epoch-0001")).run()
    rest = loop(TASK, Storage(tmp_path / "rest"), restored=tmp_path / "cut/epoch-0001")
    resumed = rest.run()

    assert_same(weights(rest), whole.weights)
    assert [metrics["epoch"] for metrics in resumed] == [1, 2]
    for mine, other in zip(resumed, whole.history, strict=True):
        for name in ("loss", "right", "validation_loss", "validation_right", "steps"):
            assert mine[name] == pytest.approx(other[name], rel=1e-5)


def test_a_run_that_goes_on_within_an_epoch_trains_on_every_row_once(
    tmp_path: Path, whole: Whole
) -> None:
    name = "epoch-0001-step-0000016"
    cut = Storage(tmp_path / "cut", die_after=name)
    with pytest.raises(Interrupt):
        loop(TASK, cut, checkpoint_seconds=0).run()
    position = read_position(tmp_path / "cut" / name)
    assert (position.epoch, position.step) == (1, 16)
    assert position.sums[0] == 16 * BATCH
    assert len(position.history) == 1

    events: list[dict[str, Any]] = []
    rest = loop(
        TASK, Storage(tmp_path / "rest"), restored=tmp_path / "cut" / name, tell=events.append
    )
    resumed = rest.run()
    assert_same(weights(rest), whole.weights)
    assert [metrics["epoch"] for metrics in resumed] == [1, 2]
    assert resumed[1]["steps"] == STEPS
    # The means of the whole epoch: of the rows before the checkpoint, and of those after it.
    for metric in ("loss", "right", "validation_loss"):
        assert resumed[1][metric] == pytest.approx(whole.history[1][metric], rel=1e-5)
    assert events[0] | {"kind": "resumed", "epoch": 2, "step": 16} == events[0]


def test_checkpoints_within_an_epoch_come_as_often_as_asked(tmp_path: Path) -> None:
    often, never = Storage(tmp_path / "often"), Storage(tmp_path / "never")
    loop(ToyTask(), often, checkpoint_seconds=0, epochs=1).run()
    loop(ToyTask(), never, checkpoint_seconds=3600, epochs=1).run()
    steps = [f"epoch-0000-step-{step:07d}" for step in (8, 16)]
    assert list(often.reported) == [*steps, "epoch-0001"]
    assert list(never.reported) == ["epoch-0001"]
    # No validation score: such a checkpoint is never the best.
    assert often.reported[steps[0]] == {}


def test_a_worker_that_is_told_to_leave_checkpoints_first_and_loses_no_step(
    tmp_path: Path, whole: Whole
) -> None:
    events: list[dict[str, Any]] = []
    asked = iter(range(1000))
    cut = Storage(tmp_path / "cut")
    with pytest.raises(Leaving):
        loop(TASK, cut, told_to_leave=lambda: next(asked) >= STEPS + 3, tell=events.append).run()
    name = "epoch-0001-step-0000008"
    assert list(cut.reported) == ["epoch-0001", name]
    assert cut.reported[name] == {}
    assert {"kind": "leaving", "step": 8} in events

    rest = loop(TASK, Storage(tmp_path / "rest"), restored=tmp_path / "cut" / name)
    rest.run()
    assert_same(weights(rest), whole.weights)


def test_a_run_that_is_done_takes_no_step_and_reads_no_data(tmp_path: Path, whole: Whole) -> None:
    def forbidden(index: int) -> None:
        raise AssertionError("read data")

    again = loop(
        TASK,
        Storage(tmp_path / "again"),
        training=planted(blocks(TRAIN_ROWS), forbidden),
        validation=planted(blocks(77), forbidden),
        restored=whole.folder / "epoch-0002",
    )
    assert again.run() == whole.history
    assert not (tmp_path / "again").exists()


def test_the_task_s_own_files_lie_in_every_checkpoint(tmp_path: Path) -> None:
    loop(ToyTask(), Storage(tmp_path), epochs=1).run()
    assert (tmp_path / "epoch-0001/toy.txt").read_text() == "a toy\n"
