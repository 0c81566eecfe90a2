"""A trial of a sweep: the loop that every training runs, on one worker, reporting to Ray Tune."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import ray.tune
from ray.tune import Checkpoint

from rnnray.training import strategy
from rnnray.training.config import TrainingConfig
from rnnray.training.task import Task
from rnnray.tuning.space import with_values

DIVERGED = "diverged"
"""A reported column: 1 where a loss was no number, so that the trial ended there."""


@dataclass(frozen=True)
class TrialData:
    """What a trial reads."""

    train: Callable[[], Iterable[pa.Table]]
    """One pass over the training rows."""
    validation: Callable[[], Iterable[pa.Table]]
    """One pass over the validation rows."""
    training_rows: int
    """Rows of a pass over the training data."""


class Problem(Protocol):
    """What is searched: a configuration, and what trials make of theirs.

    Problems travel to the trials pickled by Ray; what is large in them are object references, so
    that a node holds it once.
    """

    @property
    def config(self) -> TrainingConfig:
        """What holds where nothing is searched."""
        ...

    def task(self, config: Any) -> Task:
        """The task of a trial's configuration."""
        ...

    def data(self, config: Any) -> TrialData:
        """The data of a trial's configuration."""
        ...


class _Diverged(Exception):  # noqa: N818
    """A loss was no number; there is no use in going on."""


def run_trial(
    arguments: Mapping[str, Any], *, problem: Problem, threads: int, checkpoint_seconds: float
) -> None:
    """Train with the configuration that a trial is given, reporting each epoch to Ray Tune.

    Args:
        arguments: `values`: from fields to values, see `rnnray.tuning.space`.
        problem: what is searched.
        threads: that TensorFlow may keep busy; 0 on a GPU.
        checkpoint_seconds: between checkpoints within an epoch.
    """
    config = with_values(problem.config, arguments["values"])
    task = problem.task(config)
    strategy.quiet_tensorflow()
    on_gpu = strategy.configure_devices(threads, small_operations=task.unrolls and not config.xla)
    from rnnray.training.loop import TrainingLoop, Worker  # noqa: PLC0415  (imports TensorFlow)

    data = problem.data(config)

    def report(metrics: dict[str, float], folder: Path | None, name: str | None) -> None:
        del name
        if folder is None or not metrics:
            return
        diverged = not math.isfinite(metrics["loss"]) or not math.isfinite(metrics[task.score[0]])
        ray.tune.report(
            {
                # What the scheduler sees, beside what Ray Tune adds, and what is ours.
                task.score[0]: metrics[task.score[0]],
                "metrics": {**metrics, DIVERGED: float(diverged)},
            },
            checkpoint=Checkpoint.from_directory(str(folder)),
        )
        if diverged:
            raise _Diverged

    worker = Worker(
        rank=0, count=1, train=data.train, validation=data.validation, tell=_silent, report=report
    )
    latest = ray.tune.get_checkpoint()
    try:
        with latest.as_directory() if latest else nullcontext() as folder:
            TrainingLoop(
                task,
                config,
                worker,
                strategy.create_strategy(1),
                steps_per_epoch=math.ceil(data.training_rows / config.global_batch_size),
                checkpoint_seconds=checkpoint_seconds,
                unroll=not on_gpu,
                restored=Path(folder) if folder else None,
            ).run()
    except _Diverged:
        return


def _silent(event: dict[str, Any]) -> None:
    """A trial's progress is what it reports."""
