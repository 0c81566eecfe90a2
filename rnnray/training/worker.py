"""A worker of a training run: its process, its connections, and what workers agree on."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import ray
import ray.train
import ray.util
from ray.train import Checkpoint

from rnnray import devices
from rnnray.errors import UserError
from rnnray.events import Tell
from rnnray.training import strategy
from rnnray.training.faults import nodes
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.patient_files import Save, saved_in_temporary
from rnnray.training.faults.watchdog import Pulse, Watch
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig


@dataclass(frozen=True)
class Worker:
    """A worker's place among the others, and its connections to the outside."""

    rank: int
    count: int
    training: Blocks
    """The training data of all workers."""
    validation: Blocks
    """The validation data of all workers."""
    tell: Callable[[dict[str, Any]], None]
    """Takes progress of this worker."""
    report: Callable[[dict[str, float], Path | None, str | None], None]
    """Takes metrics, a checkpoint's folder on rank 0, and the checkpoint's name; a barrier."""
    saved: Callable[[Save], AbstractContextManager[Path]] = saved_in_temporary
    """Saves a checkpoint, for `report`; rank 0 alone."""
    told_to_leave: Callable[[], bool] = lambda: False
    """Whether this worker will be taken away soon; asked at every step."""
    pulse: Pulse = field(default_factory=Pulse)
    """Where this worker notes what it does, for a watchdog."""


class PeerStopped(Exception):  # noqa: N818
    """Another worker met a `UserError`, so that this one stopped at the same step."""


class Leaving(Exception):  # noqa: N818
    """A worker was told to leave: all stopped behind the same step, and a checkpoint."""


def raise_failure(error: UserError | None, workers_that_failed: float) -> None:
    """Raise this worker's error, or `PeerStopped` where another one has one."""
    if error is not None:
        raise error
    if workers_that_failed:
        raise PeerStopped


def resident_mib() -> float:
    """Resident memory of this process alone, without what it shares as Ray's object store, MiB."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE") / 2**20


_FLAGS = 3


@dataclass(frozen=True)
class Flags:
    """What a worker says at a step; summed over the workers, how many of them say it."""

    failed: float = 0
    """Its data are bad."""
    checkpoint_due: float = 0
    """It is time for a checkpoint; rank 0 alone says so."""
    leaving: float = 0
    """It was told to leave."""
    paces: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """See `rnnray.training.faults.watchdog.Pace.tell`; empty for a worker alone."""

    @staticmethod
    def size(workers: int) -> int:
        """Length of `packed` on each of so many workers."""
        return _FLAGS + (2 * workers if workers > 1 else 0)

    def packed(self) -> npt.NDArray[np.float32]:
        """Return float32 [size], which is summed over the workers."""
        return np.array(
            [self.failed, self.checkpoint_due, self.leaving, *self.paces.tolist()], np.float32
        )

    @classmethod
    def of_steps(cls, sums: npt.NDArray[np.float64]) -> Self:
        """Return what the workers said in some steps: the flags of the last one, all the paces.

        Args:
            sums: float64 [steps, size], summed over the workers.
        """
        failed, checkpoint_due, leaving = sums[-1, :_FLAGS].tolist()
        return cls(failed, checkpoint_due, leaving, sums[:, _FLAGS:].sum(0))


LEFT = "left"


@dataclass(frozen=True)
class WorkerJob:
    """What a worker is sent."""

    task: Task
    config: TrainingConfig
    data: TrainingData
    checkpoint_seconds: float
    report_steps: int
    needs_gpu: bool
    """Fail rather than train on a CPU."""
    cpus: float | None
    """CPUs of each worker, where the user said so: they bound its threads."""
    tell: Tell
    watch: Watch | None
    also_report: Callable[[], Mapping[str, Any]] = dict
    """Gives what a worker reports beside its metrics."""
    initial: Any = None
    """Reference to an `Initial`: weights to begin with, where there is no checkpoint."""


@dataclass(frozen=True)
class Refused:
    """What a worker returns where it, or another one, met an error of the user's."""

    message: str
    """The error; of another worker, which has told it, only that there is one."""


def run_worker(arguments: dict[str, Any]) -> str | Refused | None:
    """Train as one of the workers, with Ray Train around.

    Args:
        arguments: `job`: the `WorkerJob`.

    Returns:
        `LEFT` where a worker was told to leave before the run was done, `Refused` where one met
        an error of the user's.
    """
    job: WorkerJob = arguments["job"]
    context = ray.train.get_context()
    node = {"rank": context.get_world_rank(), "node": ray.util.get_node_ip_address()}
    if context.get_local_world_size() == context.get_world_size():
        strategy.keep_on_loopback()
    # Workers on one node share its cores; each alone would start a thread for every core.
    threads = max(1, int(job.cpus or devices.node_cpus() // context.get_local_world_size()))
    try:
        on_gpu = strategy.configure_devices(
            0 if devices.reserved_gpus() else threads,
            small_operations=job.task.unrolls and not job.config.xla,
            needs_gpu=job.needs_gpu,
        )
    except UserError as error:
        job.tell({"kind": "refused", "message": str(error)})
        raise  # the others wait for this worker
    if devices.reserved_gpus() and not on_gpu:
        job.tell(node | {"kind": "no_gpu"})
    from rnnray.training.loop import TrainingLoop  # noqa: PLC0415  (imports TensorFlow)

    def report(metrics: dict[str, float], checkpoint: Path | None, name: str | None) -> None:
        kept = Checkpoint.from_directory(str(checkpoint)) if checkpoint else None
        ray.train.report(
            {**metrics, **job.also_report()} if metrics else {},
            checkpoint=kept,
            checkpoint_dir_name=name,
            checkpoint_upload_fn=_upload,
        )

    run = context.get_storage()
    worker = Worker(
        rank=context.get_world_rank(),
        count=context.get_world_size(),
        training=job.data.training,
        validation=job.data.validation,
        tell=lambda event: job.tell(node | event),
        report=report,
        saved=partial(run.storage_filesystem.handler.saved, run.experiment_fs_path),
        told_to_leave=nodes.came,
    )
    watched: AbstractContextManager[None] = nullcontext()
    if job.watch:
        watched = job.watch.over(worker.pulse, worker.rank, node["node"], worker.tell)
    if worker.rank == 0:
        worker.tell({"kind": "group", "workers": worker.count})
    latest = ray.train.get_checkpoint()
    mirrored = strategy.create_strategy(worker.count)
    myself = nodes.expect()  # after TensorFlow's strategy, which keeps SIGTERM to itself
    if worker.rank == 0:
        worker.tell({"kind": "expects_notice", "worker": myself})
    try:
        with watched, latest.as_directory() if latest else nullcontext() as folder:
            TrainingLoop(
                job.task,
                job.config,
                worker,
                mirrored,
                checkpoint_seconds=job.checkpoint_seconds,
                report_steps=job.report_steps,
                unroll=not on_gpu,
                restored=Path(folder) if folder else None,
                initial=ray.get(job.initial) if job.initial and not folder else None,
            ).run()
    except Diverged as error:
        job.tell({"kind": "diverged", "message": str(error), "epoch": error.epoch})
    except UserError as error:
        # Not raised: Ray Train would start the workers again, to meet the same error.
        job.tell({"kind": "user_error", "message": str(error)})
        return Refused(str(error))
    except PeerStopped:
        return Refused("a worker met bad data, and its message was lost; run the same again")
    except Leaving:
        return LEFT
    return None


def _upload(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Put a checkpoint that `PatientFiles.saved` has saved into its place in the run's folder."""
    run = ray.train.get_context().get_storage()
    path = run.build_checkpoint_path_from_name(name)
    run.storage_filesystem.create_dir(path)
    for file in sorted(Path(checkpoint.path).iterdir()):
        run.storage_filesystem.handler.take(file, f"{path}/{file.name}")
    return Checkpoint(path, run.storage_filesystem)
