"""A trial of a sweep on one worker: the usual training loop, reporting to Ray Tune."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import ray.tune
import ray.util
from pyarrow import fs
from ray.tune import Checkpoint

from rnnray.errors import UserError
from rnnray.events import Tell
from rnnray.run_lock import Held
from rnnray.training import strategy
from rnnray.training.checkpoints import Initial
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.watchdog import Watch, Watchdog
from rnnray.training.kept_checkpoints import damage_of
from rnnray.training.rows import TrainingData
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig
from rnnray.training.worker import Worker
from rnnray.tuning.space import with_values
from rnnray.tuning.sweep_options import SweepOptions

DIVERGED = "diverged"
"""Name of a reported column: 1 if a loss was not finite, so that the trial ended there."""
EPOCHS = "epochs"
"""Name of the time that schedulers count: epochs done, with a fraction within one."""


class Problem(Protocol):
    """A configuration to search, with the task and the data of each trial's configuration.

    Ray pickles problems to send them to trials. Large fields are object references, so that a node
    holds them once.
    """

    @property
    def config(self) -> TrainingConfig:
        """The values of all fields that are not searched."""
        ...

    def task(self, config: Any) -> Task:
        """Return the task of a trial's configuration."""
        ...

    def data(self, config: Any) -> TrainingData:
        """Return the data of a trial's configuration."""
        ...


@dataclass(frozen=True)
class TrialJob:
    """The part of a sweep that all its trials share."""

    problem: Problem
    options: SweepOptions
    metric: str
    """Metric that selects the best trial."""
    folder: str
    """The sweep's folder, absolute path or URI."""
    held: Held
    """The sweep's lock."""
    tell: Tell
    """Takes lines for the sweep's log."""
    initial: Initial | None = None
    """Weights that trials begin with."""

    def say(self, text: str) -> None:
        """Print a line about this process's trial in the sweep's log."""
        name = ray.tune.get_context().get_trial_name()
        self.tell({"kind": "line", "text": f"{name}: {text}"})


def run_trial(arguments: Mapping[str, Any], *, job: TrialJob) -> None:
    """Train on one worker with a trial's values, reporting to Ray Tune.

    Args:
        arguments: `values`, a mapping from fields to values; see `rnnray.tuning.space`.
        job: the part that all trials share.
    """
    values = arguments["values"]
    config = with_values(job.problem.config, values)
    task = job.problem.task(config)
    options = job.options
    common = job.problem.config
    on_gpu = strategy.configure_devices(
        0 if options.gpus_per_trial else max(1, int(options.cpus_per_trial)),
        # The sweep's configuration, not the trial's: the process's next trial must find the same.
        small_operations=job.problem.task(common).unrolls and not common.xla,
        needs_gpu=options.gpus_per_trial > 0,
    )
    import keras  # noqa: PLC0415  (imports TensorFlow)

    from rnnray.training.loop import TrainingLoop  # noqa: PLC0415

    keras.utils.clear_session()  # state of the trial that this process ran before
    data = job.problem.data(config)
    compiled_at = 0.0

    def tell(event: dict[str, Any]) -> None:
        nonlocal compiled_at
        if event["kind"] == "compiled":
            compiled_at = time.time()
        elif event["kind"] == "stuck":
            for line in (f"stuck: {event['verdict']}", *event["stacks"]):
                job.say(line)

    def report(metrics: dict[str, float], folder: Path | None, name: str | None) -> None:
        del name
        if folder is None or not metrics:
            return
        job.held.check()
        ray.tune.report(
            reported(metrics, values, job.metric) | {"compiled_at": compiled_at},
            checkpoint=Checkpoint.from_directory(str(folder)),
        )

    worker = Worker(
        rank=0,
        count=1,
        training=data.training,
        validation=data.validation,
        tell=tell,
        report=report,
    )
    latest = _newest_whole(ray.tune.get_checkpoint(), job)
    seconds = options.stuck_minutes * 60
    with (
        diverged_told(values, job),
        # Watches by itself: no other worker waits for this one.
        Watch(Watchdog(seconds).hear, options.stuck_times, seconds).over(
            worker.pulse, worker.rank, ray.util.get_node_ip_address(), tell
        )
        if options.stuck_times
        else nullcontext(),
        latest.as_directory() if latest else nullcontext() as folder,
    ):
        TrainingLoop(
            task,
            config,
            worker,
            strategy.create_strategy(1),
            report_steps=options.report_every or 0,
            unroll=not on_gpu,
            restored=Path(folder) if folder else None,
            initial=job.initial,
        ).run()


def _newest_whole(latest: Checkpoint | None, job: TrialJob) -> Checkpoint | None:
    """Return the latest checkpoint that is not damaged, from `latest` backwards.

    Raises:
        UserError: all are damaged.
    """
    if latest is None:
        return None
    files, folder = latest.filesystem, PurePosixPath(latest.path).parent
    names = [info.base_name for info in files.get_file_info(fs.FileSelector(str(folder)))]
    for name in sorted(names, reverse=True):
        if name.startswith("checkpoint_") and name <= PurePosixPath(latest.path).name:
            damage = damage_of(files, f"{folder}/{name}")
            if damage is None:
                return Checkpoint(f"{folder}/{name}", files)
            job.say(f"checkpoint {name} cannot be used: {damage}; resuming from the one before it")
    raise UserError(f"{folder}: none of its checkpoints is whole")


@contextmanager
def diverged_told(values: Mapping[str, Any], job: TrialJob, **columns: Any) -> Iterator[None]:
    """Report diverged training to Ray Tune; such a trial ends, and does not fail.

    Args:
        values: see `reported`.
        job: the part that all trials share.
        columns: further columns of this kind of trial.
    """
    try:
        yield
    except Diverged as error:
        job.say(str(error))
        last = {"epoch": error.epoch, "loss": math.nan, job.metric: math.nan}
        ray.tune.report(reported(last, values, job.metric) | columns)


def has_diverged(trial_id: str, result: Mapping[str, Any]) -> bool:
    """Return whether a trial's loss was not finite; Ray Tune then ends the trial."""
    del trial_id
    return bool(result.get("metrics", {}).get(DIVERGED))


def reported(
    metrics: Mapping[str, float], values: Mapping[str, Any], metric: str
) -> dict[str, Any]:
    """Return a report for Ray Tune: the scheduler's columns, the metrics and the values.

    Args:
        metrics: metrics of the training loop.
        values: values of the trial, by field.
        metric: metric that selects the best trial.
    """
    return {
        metric: metrics[metric],
        EPOCHS: metrics["epoch"],
        "metrics": {
            **metrics,
            DIVERGED: float(_diverged(metrics, metric)),
        },
        "values": {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in values.items()
        },
    }


def _diverged(metrics: Mapping[str, float], metric: str) -> bool:
    return not math.isfinite(metrics["loss"]) or not math.isfinite(metrics[metric])
