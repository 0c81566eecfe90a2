"""Ray Train: a run of the training loop on several workers, with checkpoints and resumption."""

import json
import math
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray.data
import ray.train
import ray.util
from pyarrow import fs
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    TrainingFailedError,
    UserCallback,
)

from rnnray import run_folder, storage
from rnnray.errors import UserError
from rnnray.progress import Events, Tell, say
from rnnray.training import elastic, notice, strategy
from rnnray.training.checkpoints import POSITION
from rnnray.training.config import TrainingConfig
from rnnray.training.data import Shares, TrainingData, tables
from rnnray.training.options import RunOptions
from rnnray.training.patient_files import PatientFiles, persist
from rnnray.training.report import RunReport
from rnnray.training.task import Task
from rnnray.training.worker import Leaving, PeerStopped, Worker

CONFIG = "config.yaml"
_LEFT = "left"
PLACEMENT_GROUP = "placement_group"
"""What is reported beside the metrics: the id of what the run's workers reserve."""


@dataclass(frozen=True)
class TrainedRun:
    """What a run left behind."""

    folder: str
    """Its folder, a path or URI."""
    best: str
    """The checkpoint with the best validation score."""
    last: str
    """The last checkpoint."""
    history: list[dict[str, float]]
    """Metrics of each epoch."""


@dataclass(frozen=True)
class _WorkerJob:
    """What a worker is sent."""

    task: Task
    config: TrainingConfig
    steps_per_epoch: int
    checkpoint_seconds: float
    report_steps: int
    gpu: bool
    tell: Tell


class _TellFailures(UserCallback):  # type: ignore[misc]
    """Tells the driver that workers died; runs in Ray Train's controller."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        failures = {
            rank: f"{type(error).__name__}: {str(error).strip()}"
            for rank, error in worker_exceptions.items()
        }
        self._tell({"kind": "failure", "failures": failures})


def train(
    task: Task,
    config: TrainingConfig,
    options: RunOptions,
    data: TrainingData,
    *,
    report_steps: int = 0,
    callbacks: Sequence[UserCallback] = (),
) -> TrainedRun:
    """Train a task on a Ray cluster; the same storage path and name go on with an earlier run.

    Args:
        task: what to train.
        config: how; saved beside the checkpoints.
        options: where, and on how many workers.
        data: what to train on.
        report_steps: see `TrainingLoop`.
        callbacks: of Ray Train, besides ours.

    Raises:
        UserError: the storage cannot be written, the cluster is too small, the configuration is
            not that of the earlier run, the data are bad, or the storage refused for minutes.
    """
    scaling = elastic.scaling(options)
    if scaling.max_workers > config.global_batch_size:
        raise UserError(
            f"{options.workers} workers cannot share a global batch of {config.global_batch_size}; "
            "use fewer --workers or a larger --global-batch-size"
        )
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    resumes = run_folder.keep(folder, CONFIG, config.model_dump(mode="json"), "a run")
    steps = math.ceil(data.training_rows / config.global_batch_size)
    say(
        f"{'resuming' if resumes else 'training'} {folder}: "
        f"{data.training_rows:,} {task.row_unit}, {steps:,} steps an epoch, "
        f"{options.workers} worker(s), "
        f"{'GPU' if scaling.use_gpu else 'CPU'}"
    )
    strategy.quiet_tensorflow()
    from ray.train.tensorflow import TensorflowTrainer  # noqa: PLC0415  (imports TensorFlow)

    files, path = storage.open_uri(storage.absolute(options.storage_path))
    report = RunReport(folder, task)
    handle = elastic.with_waits(scaling, report.handle)
    with _failures_told(report), elastic.room_to_read(scaling), Events(handle) as events:
        trainer = partial(
            TensorflowTrainer,
            _train_worker,
            train_loop_config={
                "job": _WorkerJob(
                    task,
                    config,
                    steps,
                    options.checkpoint_minutes * 60,
                    report_steps,
                    scaling.use_gpu,
                    events.tell,
                )
            },
            datasets={"train": data.training, "validation": data.validation},
            dataset_config=Shares(),
            scaling_config=scaling,
            run_config=RunConfig(
                storage_path=path,
                storage_filesystem=fs.PyFileSystem(PatientFiles(files, folder, events.tell)),
                name=options.name,
                failure_config=FailureConfig(max_failures=options.max_failures),
                checkpoint_config=CheckpointConfig(
                    num_to_keep=1,  # the best; the last one is always kept
                    checkpoint_score_attribute=task.score[0],
                    checkpoint_score_order=task.score[1],
                ),
                callbacks=[_TellFailures(events.tell), *callbacks],
            ),
        )
        # A run whose workers left goes on at once: to Ray Train it ended well, and is no failure.
        while (result := _fit(trainer())).return_value == _LEFT:
            events.tell({"kind": "again"})
    if report.user_errors:
        raise UserError(report.user_errors[0])
    return _trained_run(folder, result, report, task)


@contextmanager
def _failures_told(report: RunReport) -> Iterator[None]:
    """The report of a run, around it; a failure is raised with what was told of its reason."""
    try:
        with report:
            yield
    except TrainingFailedError as error:
        if report.last_words:
            raise UserError(report.last_words) from error
        raise


def _fit(trainer: Any) -> Any:
    """`trainer.fit()`, with Ctrl-C as everywhere else.

    Ray Train handles it by a handler that it leaves behind, and that ends in `sys.exit(0)`.
    """
    if threading.current_thread() is not threading.main_thread():
        return trainer.fit()
    handler = signal.getsignal(signal.SIGINT)
    try:
        return trainer.fit()
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGINT, handler)


def _trained_run(folder: str, result: Any, report: RunReport, task: Task) -> TrainedRun:
    def uri(checkpoint: Checkpoint) -> str:
        return storage.join(folder, Path(checkpoint.path).name)

    name, direction = task.score
    scored = [(metrics[name], c) for c, metrics in result.best_checkpoints if name in metrics]
    pick = max if direction == "max" else min
    best = uri(pick(scored, key=lambda pair: pair[0])[1])
    last = uri(result.checkpoint)
    files, path = storage.open_uri(storage.join(last, POSITION))

    def history() -> list[dict[str, float]]:
        with files.open_input_stream(path) as stream:
            return list(json.loads(stream.read())["history"])

    return TrainedRun(folder, best, last, persist(folder, history, report.handle))


def _upload(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """As Ray Train does it, but one file after the other.

    Each is sent when it is closed; on many of Arrow's threads at once, none would be left to send.
    """
    run = ray.train.get_context().get_storage()
    path = run.build_checkpoint_path_from_name(name)
    run.storage_filesystem.create_dir(path)
    fs.copy_files(
        checkpoint.path, path, destination_filesystem=run.storage_filesystem, use_threads=False
    )
    return Checkpoint(path, run.storage_filesystem)


def _train_worker(arguments: dict[str, Any]) -> str | None:
    """What runs in each worker process; returns how it ended before the run did, if so."""
    job: _WorkerJob = arguments["job"]
    context = ray.train.get_context()
    node = {"rank": context.get_world_rank(), "node": ray.util.get_node_ip_address()}
    strategy.quiet_tensorflow()
    if context.get_local_world_size() == context.get_world_size():
        strategy.keep_on_loopback()
    # Workers on one node share its cores; each alone would start a thread for every core.
    threads = max(1, (os.cpu_count() or 1) // context.get_local_world_size())
    on_gpu = strategy.configure_devices(
        0 if job.gpu else threads, small_operations=job.task.unrolls and not job.config.xla
    )
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

    worker = Worker(
        rank=context.get_world_rank(),
        count=context.get_world_size(),
        train=lambda: tables(ray.train.get_dataset_shard("train")),
        validation=lambda: tables(ray.train.get_dataset_shard("validation")),
        tell=lambda event: job.tell(node | event),
        report=report,
        told_to_leave=notice.came,
    )
    if worker.rank == 0:
        worker.tell({"kind": "group", "workers": worker.count})
    latest = ray.train.get_checkpoint()
    mirrored = strategy.create_strategy(worker.count)
    notice.expect()  # behind TensorFlow's strategy, which takes SIGTERM and keeps it to itself
    try:
        with latest.as_directory() if latest else nullcontext() as folder:
            TrainingLoop(
                job.task,
                job.config,
                worker,
                mirrored,
                steps_per_epoch=job.steps_per_epoch,
                checkpoint_seconds=job.checkpoint_seconds,
                report_steps=job.report_steps,
                unroll=not on_gpu,
                restored=Path(folder) if folder else None,
            ).run()
    except UserError as error:
        # Not raised: Ray Train would start the workers again, to meet the same error.
        job.tell({"kind": "user_error", "message": str(error)})
    except PeerStopped:
        pass
    except Leaving:
        return _LEFT
    return None
