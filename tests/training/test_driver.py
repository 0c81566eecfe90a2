"""How often a run is started again; real runs are in tests/cluster."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train import TrainingFailedError
from stored_run import store
from toy import ToyTask

from rnnray.training.driver import _finish
from rnnray.training.faults.nodes import PassedOn
from rnnray.training.run_report import RunReport
from rnnray.training.worker import LEFT


@pytest.fixture
def report(tmp_path: Path) -> Iterator[RunReport]:
    with RunReport(str(tmp_path), ToyTask()) as report:
        yield report


def starts(folder: Path, report: RunReport, lives: str, max_failures: int = 3) -> int:
    """How often a run is started whose lives end like this: d: it dies, c: it dies behind a
    checkpoint, l: its workers leave, e: it is done.
    """
    left = iter(lives)
    told: list[dict[str, Any]] = []
    stored: list[str] = []

    def fit() -> Any:
        life = next(left)
        if life == "c":
            stored.append(f"epoch-{len(stored):04d}")
            store(folder, {name: {} for name in stored})
        if life in "cd":
            (folder / f"begun-{len(told):04d}").mkdir()  # of a checkpoint that was begun
            raise TrainingFailedError("a node was lost")
        return SimpleNamespace(return_value=LEFT if life == "l" else None)

    trainer = SimpleNamespace(fit=fit)
    _finish(lambda: trainer, max_failures, report, str(folder), told.append, PassedOn())
    return len(told) + 1


def test_a_long_run_that_gets_further_outlasts_more_lost_nodes_than_max_failures(
    tmp_path: Path, report: RunReport
) -> None:
    assert starts(tmp_path, report, "ccccdcddlddde") == 13


@pytest.mark.parametrize(("lives", "max_failures"), [("dddd", 3), ("cddd", 3), ("c", 0)])
def test_a_run_that_gets_no_further_ends(
    tmp_path: Path, report: RunReport, lives: str, max_failures: int
) -> None:
    with pytest.raises(TrainingFailedError, match="a node was lost"):
        starts(tmp_path, report, lives, max_failures)


def test_a_run_whose_storage_has_given_up_ends_at_once(tmp_path: Path, report: RunReport) -> None:
    report.handle({"kind": "storage", "message": "s3: refuses", "gave_up": True})
    with pytest.raises(TrainingFailedError):
        starts(tmp_path, report, "d")
