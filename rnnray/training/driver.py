"""Ray Train: a run of the training loop on several workers, with checkpoints and resumption."""

import json
import math
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import ray
from pyarrow import fs
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    ControllerError,
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    UserCallback,
    WorkerGroupError,
)
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from rnnray import cluster, ray_private, run_folder, storage
from rnnray.errors import UserError, find_user_error
from rnnray.events import Event, Events, Tell
from rnnray.progress import say
from rnnray.ray_private import CHECKPOINT_LIST
from rnnray.run_lock import Held
from rnnray.training.addresses import Addresses
from rnnray.training.checkpoints import POSITION, Initial, read_initial
from rnnray.training.faults import nodes, watchdog
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.faulty_task import check_score
from rnnray.training.faults.nodes import PassedOn
from rnnray.training.faults.patient_files import PatientFiles, read_file
from rnnray.training.kept_checkpoints import KeepBestAndLast, fall_back, newest
from rnnray.training.rows import TrainingData
from rnnray.training.run_report import RunReport
from rnnray.training.task import Task
from rnnray.training.training_options import RunOptions, TrainingConfig, share_of_peak
from rnnray.training.worker import Leaving, WorkerJob, run_worker

CONFIG = "config.yaml"


@dataclass(frozen=True)
class TrainedRun:
    """Results of a run, and their paths in its storage."""

    folder: str
    """Path or URI of its folder."""
    best: str
    """The checkpoint that is best by the selection metric."""
    last: str
    """The last checkpoint."""
    history: list[dict[str, float]]
    """Metrics of each epoch."""
    metrics: dict[str, float]
    """Metrics of the epoch of the best checkpoint."""


def train(
    task: Task,
    config: TrainingConfig,
    options: RunOptions,
    data: TrainingData,
    *,
    report_steps: int = 0,
    callbacks: Sequence[UserCallback] = (),
    held: Held | None = None,
    initial: Initial | None = None,
    also_report: Callable[[], Mapping[str, Any]] = dict,
) -> TrainedRun:
    """Train a task on a Ray cluster; the same storage path and name go on with an earlier run.

    Without a connection to a cluster it makes one: see `rnnray.cluster.connect`.

    Args:
        task: the problem.
        config: how to train it; saved beside the checkpoints.
        options: where to run, and on how many workers.
        data: the rows to train on.
        report_steps: see `TrainingLoop`.
        callbacks: callbacks of Ray Train, in addition to ours.
        held: a sweep's lock, which covers this run; without it the run takes its own.
        initial: weights to begin with; by default those of `config.init_from`.
        also_report: gives what a worker reports to `callbacks` beside its metrics.

    Raises:
        UserError: the storage cannot be written, the cluster is too small, the configuration or
            the data are not those of the earlier run, another run of this name is at work, the
            data are bad, the task does not give what `Task` promises, the training diverged, or the
            storage refused for minutes.
    """
    check_score(task)
    cluster.connect()
    scaling = nodes.scaling(options)
    if scaling.max_workers > config.global_batch_size:
        raise UserError(
            f"{options.workers} workers cannot share a global batch of {config.global_batch_size}; "
            "use fewer workers or a larger global_batch_size"
        )
    rows = data.training.rows
    if scaling.min_workers > rows:
        raise UserError(
            f"{rows} training {task.row_unit} for {options.workers} workers; use fewer of them"
        )
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    with nullcontext() if held else run_folder.lock(folder) as lock:
        _save_or_compare(folder, task, config, options, data, scaling)
        stored = storage.join(folder, CHECKPOINT_LIST)
        if initial is None and config.init_from and storage.read_bytes(stored) is None:
            initial = read_initial(config.init_from, task)
        with (
            PassedOn() as notice,
            RunReport(folder, task, lock.check if lock else None) as report,
        ):
            handle = nodes.with_waits(scaling, report.handle)

            def take(event: Event) -> None:
                notice.note(event)
                handle(event)

            with (
                ray_private.cpu_kept_free() if scaling.elasticity_enabled else nullcontext(),
                Events(take) as events,
                watchdog.on_guard(options.stuck_times, options.stuck_minutes * 60) as watch,
            ):
                files, path = storage.open_uri(folder)
                patient = PatientFiles(files, folder, events.tell, lock.held if lock else held)
                job = WorkerJob(
                    task,
                    config,
                    TrainingData(data.training.stored(), data.validation.stored()),
                    checkpoint_seconds=options.checkpoint_minutes * 60,
                    report_steps=report_steps,
                    needs_gpu=options.gpu,
                    cpus=options.cpus_per_worker,
                    tell=events.tell,
                    watch=watch,
                    files=fs.PyFileSystem(patient),
                    folder=str(PurePosixPath(path)),
                    also_report=also_report,
                    initial=ray.put(initial) if initial else None,
                )
                keep = KeepBestAndLast(folder, task.score, events.tell)
                all_callbacks = [keep, *ray_private.failed_starts_leave_nothing(), *callbacks]
                trainer = partial(_trainer, job, scaling, all_callbacks)
                result = _finish(trainer, options.max_failures, report, folder, events.tell, notice)
            if lock:
                lock.check()
            return _trained_run(folder, result, report, task)


def _save_or_compare(
    folder: str,
    task: Task,
    config: TrainingConfig,
    options: RunOptions,
    data: TrainingData,
    scaling: ScalingConfig,
) -> None:
    """Save the configuration of a new run, or compare it with the earlier run's; say which."""
    before = run_folder.save_or_compare(
        folder,
        CONFIG,
        config.model_dump(mode="json"),
        "a run",
        data=data.identity,
        growing=("epochs",),
        defaults=type(config)().model_dump(mode="json"),
    )
    steps = math.ceil(data.training.rows / config.global_batch_size)
    say(
        f"{'training' if before is None else 'resuming'} {folder}: "
        f"{data.training.rows:,} {task.row_unit}, {steps:,} steps an epoch, "
        f"{options.workers} worker(s), "
        f"{'GPU' if scaling.use_gpu else 'CPU'}"
    )
    if before is not None and before["epochs"] != config.epochs:
        say(_what_more_epochs_change(config, before["epochs"]))


def _trainer(job: WorkerJob, scaling: ScalingConfig, callbacks: Sequence[UserCallback]) -> Any:
    """Return a trainer of Ray Train, which goes on from the run's last checkpoint."""
    # Not its subclass TensorflowTrainer, whose module imports TensorFlow: see `Addresses`.
    path = PurePosixPath(job.folder)
    return DataParallelTrainer(
        run_worker,
        backend_config=Addresses(),
        train_loop_config={"job": job},
        scaling_config=scaling,
        run_config=RunConfig(
            storage_path=str(path.parent),
            storage_filesystem=job.files,
            name=path.name,
            # `_finish` alone starts workers again. Ray Train waits for room for them, and repeats a
            # start that failed.
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),
            checkpoint_config=CheckpointConfig(
                num_to_keep=None,  # `KeepBestAndLast` deletes
                checkpoint_score_attribute=job.task.score[0],
                checkpoint_score_order=job.task.score[1],
            ),
            callbacks=list(callbacks),
        ),
    )


def _what_more_epochs_change(config: TrainingConfig, before: int) -> str:
    """Return a line about what more epochs mean for a run's learning rate."""
    words = f"epochs: {config.epochs} instead of {before}; weights and optimizer go on as they were"
    options = config.optimizer
    if options.schedule == "constant":
        return f"{words}, at the same learning rate"
    rate = share_of_peak(before / config.epochs, options.warmup_share)
    return (
        f"{words}, and the cosine schedule is stretched to the new end: after epoch {before} the "
        f"learning rate is {rate:.0%} of its peak, where it was 0"
    )


def _finish(
    trainer: Callable[[], Any],
    max_failures: int,
    report: RunReport,
    folder: str,
    tell: Tell,
    notice: PassedOn,
) -> Any:
    """Run to the end, and start the workers again after failures; return Ray Train's result.

    Ray Train would count failures over the whole run, which may have one every few hours on spot
    machines. Here a failure counts only if no checkpoint was stored since the failure before.

    Raises:
        UserError: a worker or Ray Train's controller raised it; or no checkpoint is whole.
        TrainingFailedError: the run failed more than `max_failures` times in a row, or got SIGTERM.
    """
    failures = 0
    while True:
        fall_back(folder, report.handle)
        before = _list_of(folder, report.handle)
        try:
            return _fit(trainer())
        except TrainingFailedError as error:
            _raise_users_error(error, folder, report)
            workers = error.worker_failures if isinstance(error, WorkerGroupError) else {}
            if isinstance(error, ControllerError):
                tell({"kind": "controller_failed", "reason": _named(error.controller_failure)})
            if notice.came:
                raise
            if any(isinstance(each, Leaving) for each in workers.values()):
                failures = 0
            else:
                for rank, reason in workers.items():
                    tell({"kind": "failure", "rank": rank, "reason": _named(reason)})
                failures = failures + 1 if _list_of(folder, report.handle) == before else 1
                if failures > max_failures:
                    raise
        tell({"kind": "again"})


def _raise_users_error(error: TrainingFailedError, folder: str, report: RunReport) -> None:
    """Raise the `UserError` inside Ray Train's error, if there is one.

    Of training that diverged it says where it was last good.
    """
    found = find_user_error(error)
    if isinstance(found, Diverged):
        good = newest(folder, report.handle) or "none yet"
        found = Diverged(f"{found}; last good checkpoint: {good}", found.epoch)
    if found is not None:
        raise found from error


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}"


def _list_of(folder: str, tell: Callable[[Event], None]) -> bytes | None:
    """Return Ray Train's list of a run's checkpoints, which changes with each that is stored."""
    return read_file(storage.join(folder, CHECKPOINT_LIST), tell)


def _fit(trainer: Any) -> Any:
    """Call `trainer.fit()`, and raise KeyboardInterrupt at Ctrl-C.

    Ray Train installs a handler that stays, and that ends in `sys.exit(0)`.
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
    # Of equal ones the last, as in `KeepBestAndLast`.
    checkpoint = pick(reversed(scored), key=lambda pair: pair[0])[1]
    metrics = next(metrics for each, metrics in result.best_checkpoints if each is checkpoint)
    best = uri(checkpoint)
    last = uri(result.checkpoint)
    position = read_file(storage.join(last, POSITION), report.handle)
    assert position is not None, f"{last} has no {POSITION}"  # Ray Train lists whole ones alone
    return TrainedRun(folder, best, last, list(json.loads(position)["history"]), dict(metrics))
