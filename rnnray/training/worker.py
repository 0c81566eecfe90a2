"""A worker of a training run: its threads and connections, and what workers agree on."""

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
from pyarrow import fs
from ray.train import Checkpoint

from rnnray import devices
from rnnray.errors import UserError
from rnnray.events import Tell
from rnnray.training import strategy
from rnnray.training.faults import nodes
from rnnray.training.faults.patient_files import Save, saved_in_temporary
from rnnray.training.faults.watchdog import Pulse, Watch
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig


@dataclass(frozen=True)
class Worker:
    """A worker as the loop sees it: its rank among the others, its data, its connections."""

    rank: int
    count: int
    training: Blocks
    """The training data of all workers."""
    validation: Blocks
    """The validation data of all workers."""
    tell: Callable[[dict[str, Any]], None]
    """Takes events of this worker's progress."""
    report: Callable[[dict[str, float], Path | None, str | None], None]
    """Takes metrics and, on rank 0, folder and name of a checkpoint; a barrier."""
    saved: Callable[[Save], AbstractContextManager[Path]] = saved_in_temporary
    """Saves a checkpoint for `report`, on rank 0 alone."""
    told_to_leave: Callable[[], bool] = lambda: False
    """Returns whether this worker will be taken away soon; called at every step."""
    pulse: Pulse = field(default_factory=Pulse)
    """This worker's notes of what it does, for a watchdog."""


class PeerStopped(Exception):  # noqa: N818
    """Another worker has a `UserError`, so this one stopped at the same step."""


class Leaving(Exception):  # noqa: N818
    """A worker was told to leave: all stopped after the same step and a checkpoint."""


def raise_failure(error: UserError | None, workers_that_failed: float) -> None:
    """Raise this worker's error, or `PeerStopped` where another worker has one."""
    if error is not None:
        raise error
    if workers_that_failed:
        raise PeerStopped


def resident_mib(process: str = "self") -> float:
    """Return a process's resident memory without what it shares, as Ray's object store, in MiB."""
    _, resident, shared, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE") / 2**20


_FLAGS = 3


@dataclass(frozen=True)
class Flags:
    """Flags by which workers agree at a step: 0 or 1 from each, then the sum over all workers."""

    failed: float = 0
    """The worker's data are bad."""
    checkpoint_due: float = 0
    """A checkpoint is due; set by rank 0 alone."""
    leaving: float = 0
    """The worker was told to leave."""
    paces: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """See `rnnray.training.faults.watchdog.Pace.tell`; empty for a worker alone."""

    @staticmethod
    def size(workers: int) -> int:
        """Return the length of `packed`, for a number of workers."""
        return _FLAGS + (2 * workers if workers > 1 else 0)

    def packed(self) -> npt.NDArray[np.float32]:
        """Return float32 [size], to be summed over the workers."""
        return np.array(
            [self.failed, self.checkpoint_due, self.leaving, *self.paces.tolist()], np.float32
        )

    @classmethod
    def of_steps(cls, sums: npt.NDArray[np.float64]) -> Self:
        """Return the flags of some steps: those of the last step, with the paces of all of them.

        Args:
            sums: float64 [steps, size], summed over the workers.
        """
        failed, checkpoint_due, leaving = sums[-1, :_FLAGS].tolist()
        return cls(failed, checkpoint_due, leaving, sums[:, _FLAGS:].sum(0))


@dataclass(frozen=True)
class WorkerJob:
    """Job that the driver sends to each worker."""

    task: Task
    config: TrainingConfig
    data: TrainingData
    checkpoint_seconds: float
    report_steps: int
    needs_gpu: bool
    """Fail rather than train on a CPU."""
    cpus: float | None
    """CPUs of each worker if the user set them: they bound its threads."""
    tell: Tell
    watch: Watch | None
    files: fs.PyFileSystem
    """The run's storage, with a `PatientFiles` as its handler."""
    folder: str
    """The run's folder in `files`."""
    also_report: Callable[[], Mapping[str, Any]] = dict
    """Gives what a worker reports beside its metrics."""
    initial: Any = None
    """Reference to an `Initial`: weights to begin with, where there is no checkpoint."""


def run_worker(arguments: dict[str, Any]) -> None:
    """Train as one of the workers, with Ray Train around, which hands what this raises to `driver`.

    Args:
        arguments: `job`: the `WorkerJob`.

    Raises:
        UserError: this worker's data are bad, its node lacks a GPU, the storage refused for
            minutes, the training diverged, or another run has the lock.
        Leaving: a worker was told to leave; the checkpoint is listed.
    """
    job: WorkerJob = arguments["job"]
    context = ray.train.get_context()
    node = {"rank": context.get_world_rank(), "node": ray.util.get_node_ip_address()}
    # Workers on one node share its cores; each alone would start a thread for every core.
    threads = max(1, int(job.cpus or devices.node_cpus() // context.get_local_world_size()))
    on_gpu = strategy.configure_devices(
        0 if devices.reserved_gpus() else threads,
        small_operations=job.task.unrolls and not job.config.xla,
        needs_gpu=job.needs_gpu,
    )
    if devices.reserved_gpus() and not on_gpu:
        job.tell(node | {"kind": "no_gpu"})
    from rnnray.training.loop import TrainingLoop  # noqa: PLC0415  (imports TensorFlow)

    def report(metrics: dict[str, float], checkpoint: Path | None, name: str | None) -> None:
        kept = Checkpoint.from_directory(str(checkpoint)) if checkpoint else None
        ray.train.report(
            {**metrics, **job.also_report()} if metrics else {},
            checkpoint=kept,
            checkpoint_dir_name=name,
            checkpoint_upload_fn=partial(_upload, job),
        )

    worker = Worker(
        rank=context.get_world_rank(),
        count=context.get_world_size(),
        training=job.data.training,
        validation=job.data.validation,
        tell=lambda event: job.tell(node | event),
        report=report,
        saved=partial(job.files.handler.saved, job.folder),
        told_to_leave=nodes.told_to_leave,
    )
    watched: AbstractContextManager[None] = nullcontext()
    if job.watch:
        watched = job.watch.over(worker.pulse, worker.rank, node["node"], worker.tell)
    if worker.rank == 0:
        worker.tell({"kind": "group", "workers": worker.count})
    latest = ray.train.get_checkpoint()
    mirrored = strategy.create_strategy(worker.count)
    myself = nodes.expect_notice()  # after TensorFlow's strategy, which keeps SIGTERM to itself
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
    except PeerStopped:
        # Not raised: Ray Train ends a group at its first error, which is to be the other worker's.
        return
    except Leaving:
        # The same: it would end the group before it has listed the checkpoint.
        ray.train.get_all_reported_checkpoints()
        raise


def _upload(job: WorkerJob, checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Put a checkpoint that `PatientFiles.saved` has saved into the run's folder."""
    path = f"{job.folder}/{name}"
    job.files.create_dir(path)
    for file in sorted(Path(checkpoint.path).iterdir()):
        job.files.handler.take(file, f"{path}/{file.name}")
    return Checkpoint(path, job.files)
