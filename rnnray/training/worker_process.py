"""What runs in each worker process of a training run: the loop, with Ray Train around it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.util
from ray.train import Checkpoint

from rnnray import devices
from rnnray.errors import UserError
from rnnray.events import Tell
from rnnray.training import strategy
from rnnray.training.faults import notice
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.watchdog import Watch
from rnnray.training.rows import TrainingData
from rnnray.training.task import Task
from rnnray.training.training_config import TrainingConfig
from rnnray.training.worker import Leaving, PeerStopped, Worker

LEFT = "left"
PLACEMENT_GROUP = "placement_group"
"""What is reported beside the metrics: the id of what the run's workers reserve."""


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
        reserved = ray.get_runtime_context().get_placement_group_id()
        where = {PLACEMENT_GROUP: reserved} if metrics else {}
        ray.train.report(
            {**metrics, **where},
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
        told_to_leave=notice.came,
    )
    watched: AbstractContextManager[None] = nullcontext()
    if job.watch:
        watched = job.watch.over(worker.pulse, worker.rank, node["node"], worker.tell)
    if worker.rank == 0:
        worker.tell({"kind": "group", "workers": worker.count})
    latest = ray.train.get_checkpoint()
    mirrored = strategy.create_strategy(worker.count)
    myself = notice.expect()  # after TensorFlow's strategy, which keeps SIGTERM to itself
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
