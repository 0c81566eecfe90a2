"""How often a run is started again, and what ends it; real runs are in tests/cluster."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
from stored_run import store
from toy import ToyTask

from rnnray.errors import UserError
from rnnray.training.driver import _finish
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.nodes import PassedOn
from rnnray.training.run_report import RunReport
from rnnray.training.worker import Leaving

REFUSES = UserError("s3: the storage refuses")


@pytest.fixture
def report(tmp_path: Path) -> Iterator[RunReport]:
    with RunReport(str(tmp_path), ToyTask()) as report:
        yield report


def finish(folder: Path, report: RunReport, fit: Any, max_failures: int = 3) -> int:
    """Return the number of times that a run was started."""
    told: list[dict[str, Any]] = []
    trainer = SimpleNamespace(fit=fit)
    _finish(lambda: trainer, max_failures, report, str(folder), told.append, PassedOn())
    return 1 + [event["kind"] for event in told].count("again")


def starts(folder: Path, report: RunReport, lives: str, max_failures: int = 3) -> int:
    """How often a run is started whose lives end like this: d: it dies, c: it dies after a
    checkpoint, l: its workers leave, e: it is done.
    """
    left = iter(lives)
    begun: list[Path] = []
    stored: list[str] = []

    def fit() -> None:
        life = next(left)
        if life == "c":
            stored.append(f"epoch-{len(stored):04d}")
            store(folder, {name: {} for name in stored})
        if life in "cd":
            begun.append(folder / f"begun-{len(begun):04d}")  # of a checkpoint that was begun
            begun[-1].mkdir()
            raise TrainingFailedError("a node was lost")
        if life == "l":
            raise WorkerGroupError("they left", {0: Leaving(), 1: RuntimeError("its peer left")})

    return finish(folder, report, fit, max_failures)


def test_a_long_run_that_gets_further_outlasts_more_lost_nodes_than_max_failures(
    tmp_path: Path, report: RunReport
) -> None:
    assert starts(tmp_path, report, "ccccdcddlddde") == 13


def test_a_worker_that_leaves_is_no_failure(tmp_path: Path, report: RunReport) -> None:
    assert starts(tmp_path, report, "lle", max_failures=0) == 3


@pytest.mark.parametrize(("lives", "max_failures"), [("dddd", 3), ("cddd", 3), ("c", 0)])
def test_a_run_that_gets_no_further_ends(
    tmp_path: Path, report: RunReport, lives: str, max_failures: int
) -> None:
    with pytest.raises(TrainingFailedError, match="a node was lost"):
        starts(tmp_path, report, lives, max_failures)


@pytest.mark.parametrize(
    "error",
    [
        WorkerGroupError("workers failed", {0: RuntimeError("its peer is gone"), 1: REFUSES}),
        ControllerError(REFUSES),
    ],
)
def test_a_run_whose_storage_has_given_up_ends_at_once(
    tmp_path: Path, report: RunReport, error: TrainingFailedError
) -> None:
    def fit() -> None:
        raise error

    with pytest.raises(UserError, match="s3: the storage refuses"):
        finish(tmp_path, report, fit)


def test_training_that_diverged_names_the_last_good_checkpoint(
    tmp_path: Path, report: RunReport
) -> None:
    def fit() -> None:
        raise WorkerGroupError("workers failed", {0: Diverged("training diverged", 1.5)})

    for name in ("none yet", f"{tmp_path}/epoch-0001"):
        with pytest.raises(Diverged, match=f"diverged; last good checkpoint: {name}$") as caught:
            finish(tmp_path, report, fit)
        assert caught.value.epoch == 1.5
        store(tmp_path, {"epoch-0001": {}})
