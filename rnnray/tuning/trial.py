"""A trial of a sweep on one worker: the loop that every training runs, reporting to Ray Tune."""

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import ray.tune
from ray.tune import Checkpoint

from rnnray.training import strategy
from rnnray.training.config import TrainingConfig
from rnnray.training.data import Blocks, read_tables
from rnnray.training.task import Task
from rnnray.training.worker import Worker
from rnnray.tuning.options import SweepOptions
from rnnray.tuning.space import with_values

DIVERGED = "diverged"
"""A reported column: 1 where a loss was no number, so that the trial ended there."""
EPOCHS = "epochs"
"""What schedulers count: epochs that are done, a fraction within one."""


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

    def blocks(self, config: Any) -> Blocks:
        """The data of a trial's configuration."""
        ...


@dataclass(frozen=True)
class TrialJob:
    """What every trial of a sweep is sent."""

    problem: Problem
    options: SweepOptions
    metric: str
    """The score."""
    folder: str
    """The sweep's folder, absolute path or URI."""


def run_trial(arguments: Mapping[str, Any], *, job: TrialJob) -> None:
    """Train on one worker with the values that a trial is given, reporting to Ray Tune.

    Args:
        arguments: `values`: from fields to values, see `rnnray.tuning.space`.
        job: what all trials share.
    """
    values = arguments["values"]
    config = with_values(job.problem.config, values)
    task = job.problem.task(config)
    strategy.quiet_tensorflow()
    options = job.options
    common = job.problem.config
    on_gpu = strategy.configure_devices(
        0 if options.gpus_per_trial else max(1, int(options.cpus_per_trial)),
        # Of the sweep and not of the trial: the process's next trial must find the same.
        small_operations=job.problem.task(common).unrolls and not common.xla,
        needs_gpu=options.gpus_per_trial > 0,
    )
    import keras  # noqa: PLC0415  (imports TensorFlow)

    from rnnray.training.loop import TrainingLoop  # noqa: PLC0415

    keras.utils.clear_session()  # of the trial that this process ran before
    blocks = job.problem.blocks(config)
    compiled_at = 0.0

    def tell(event: dict[str, Any]) -> None:
        nonlocal compiled_at
        if event["kind"] == "compiled":
            compiled_at = time.time()

    def report(metrics: dict[str, float], folder: Path | None, name: str | None) -> None:
        del name
        if folder is None or not metrics:
            return
        ray.tune.report(
            reported(metrics, values, job.metric) | {"compiled_at": compiled_at},
            checkpoint=Checkpoint.from_directory(str(folder)),
        )

    worker = Worker(
        rank=0,
        count=1,
        train=partial(read_tables, blocks.training),
        validation=partial(read_tables, blocks.validation),
        tell=tell,
        report=report,
    )
    latest = ray.tune.get_checkpoint()
    with latest.as_directory() if latest else nullcontext() as folder:
        TrainingLoop(
            task,
            config,
            worker,
            strategy.create_strategy(1),
            steps_per_epoch=math.ceil(blocks.training_rows / config.global_batch_size),
            report_steps=options.report_every or 0,
            unroll=not on_gpu,
            restored=Path(folder) if folder else None,
        ).run()


def has_diverged(trial_id: str, result: Mapping[str, Any]) -> bool:
    """Ray Tune's criterion to end a trial: a loss was no number; there is no use in going on."""
    del trial_id
    return bool(result.get("metrics", {}).get(DIVERGED))


def reported(
    metrics: Mapping[str, float], values: Mapping[str, Any], metric: str
) -> dict[str, Any]:
    """What the scheduler sees, beside what Ray Tune adds, and what is ours."""
    return {
        metric: metrics[metric],
        EPOCHS: metrics["epoch"],
        "metrics": {
            **{name: value for name, value in metrics.items() if not isinstance(value, str)},
            DIVERGED: float(_diverged(metrics, metric)),
        },
        "values": {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in values.items()
        },
    }


def _diverged(metrics: Mapping[str, float], metric: str) -> bool:
    return not math.isfinite(metrics["loss"]) or not math.isfinite(metrics[metric])
