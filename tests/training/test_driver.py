"""What the driver makes of a run's end; real runs are in tests/cluster."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ray.train import TrainingFailedError

from rnnray.training.driver import _finish


class Dying:
    """A trainer whose workers die once too often for Ray Train, after some checkpoints."""

    def __init__(self, run: Path, *checkpoints: str) -> None:
        self._new = [run / name for name in checkpoints]

    def fit(self) -> None:
        for checkpoint in self._new:
            checkpoint.mkdir(parents=True)
        raise TrainingFailedError("a node was lost")


def finish(trainer: Callable[[], Dying], run: Path, max_failures: int) -> object:
    return _finish(trainer, str(run), max_failures, lambda event: None)


def test_a_long_run_that_gets_further_outlasts_more_lost_nodes_than_max_failures(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    assert finish(lambda: Dying(run, "epoch-0000-step-0000008"), run, 3) is None
    assert finish(lambda: Dying(run, "epoch-0001"), run, 3) is None


def test_a_run_that_gets_no_further_ends_and_so_does_one_that_may_not_fail(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(TrainingFailedError, match="a node was lost"):
        finish(lambda: Dying(run), run, 3)
    with pytest.raises(TrainingFailedError, match="a node was lost"):
        finish(lambda: Dying(run, "epoch-0001"), run, 0)
