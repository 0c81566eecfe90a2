"""Ray Train: a run of the training loop on several workers, with checkpoints and resumption."""

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from pyarrow import fs
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    UserCallback,
)

from rnnray import ray_private, run_folder, storage
from rnnray.errors import UserError
from rnnray.events import Event, Events, Tell
from rnnray.progress import say
from rnnray.ray_private import CHECKPOINT_LIST
from rnnray.run_lock import Held
from rnnray.training import strategy
from rnnray.training.checkpoints import POSITION
from rnnray.training.faults import elastic, watchdog
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.notice import PassedOn
from rnnray.training.faults.patient_files import PatientFiles, retry_storage
from rnnray.training.initial import Initial, read_initial
from rnnray.training.kept_checkpoints import KeepBestAndLast, fall_back
from rnnray.training.rows import TrainingData
from rnnray.training.run_options import RunOptions
from rnnray.training.run_report import RunReport
from rnnray.training.task import Task
from rnnray.training.training_config import TrainingConfig, share_of_peak
from rnnray.training.worker_process import LEFT, Refused, WorkerJob, run_worker

CONFIG = "config.yaml"


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
    held: Held | None = None,
    initial: Initial | None = None,
) -> TrainedRun:
    """Train a task on a Ray cluster; the same storage path and name go on with an earlier run.

    Args:
        task: what to train.
        config: how; saved beside the checkpoints.
        options: where, and on how many workers.
        data: what to train on.
        report_steps: see `TrainingLoop`.
        callbacks: of Ray Train, besides ours.
        held: lock under which this run is, of a sweep; without it the run takes its own.
        initial: weights to begin with; by default those of `config.init_from`.

    Raises:
        UserError: the storage cannot be written, the cluster is too small, the configuration or
            the data are not those of the earlier run, another run of this name is at work, the
            data are bad, the training diverged, or the storage refused for minutes.
    """
    scaling = elastic.scaling(options)
    if scaling.max_workers > config.global_batch_size:
        raise UserError(
            f"{options.workers} workers cannot share a global batch of {config.global_batch_size}; "
            "use fewer --workers or a larger --global-batch-size"
        )
    rows = data.training.rows
    if scaling.min_workers > rows:
        raise UserError(
            f"{rows} training {task.row_unit} for {options.workers} workers; use fewer --workers"
        )
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    work = partial(
        _train, task, config, options, data, scaling, report_steps, callbacks, folder, initial
    )
    if held is not None:
        return work(held)
    with run_folder.lock(folder) as lock:
        return work(lock.held, lock.check)


def _train(
    task: Task,
    config: TrainingConfig,
    options: RunOptions,
    data: TrainingData,
    scaling: ScalingConfig,
    report_steps: int,
    callbacks: Sequence[UserCallback],
    folder: str,
    initial: Initial | None,
    held: Held,
    check: Callable[[], None] | None = None,
) -> TrainedRun:
    """`train`, while the lock is held; `check` raises once it is not."""
    asked = config.model_dump(mode="json")
    before = run_folder.keep(
        *(folder, CONFIG, asked, "a run"),
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
    if initial is None and config.init_from and _stored_already(folder) is None:
        initial = read_initial(config.init_from, task)
    strategy.quiet_tensorflow()
    from ray.train.tensorflow import TensorflowTrainer  # noqa: PLC0415  (imports TensorFlow)

    files, path = storage.open_uri(storage.absolute(options.storage_path))
    report = RunReport(folder, task, check)
    handle = elastic.with_waits(scaling, report.handle)
    with PassedOn() as notice, _failures_told(report):

        def take(event: Event) -> None:
            notice.note(event)
            handle(event)

        with (
            ray_private.cpu_kept_free() if scaling.elasticity_enabled else nullcontext(),
            Events(take) as events,
            watchdog.on_guard(options.stuck_times, options.stuck_minutes * 60) as watch,
        ):
            job = WorkerJob(
                task,
                config,
                TrainingData(data.training.stored(), data.validation.stored()),
                options.checkpoint_minutes * 60,
                report_steps,
                options.gpu,
                options.cpus_per_worker,
                events.tell,
                watch,
                ray.put(initial) if initial else None,
            )
            trainer = partial(
                TensorflowTrainer,
                run_worker,
                train_loop_config={"job": job},
                scaling_config=scaling,
                run_config=RunConfig(
                    storage_path=path,
                    storage_filesystem=fs.PyFileSystem(
                        PatientFiles(files, folder, events.tell, held)
                    ),
                    name=options.name,
                    failure_config=FailureConfig(max_failures=0),  # see `_finish`
                    checkpoint_config=CheckpointConfig(
                        num_to_keep=None,  # `KeepBestAndLast` deletes
                        checkpoint_score_attribute=task.score[0],
                        checkpoint_score_order=task.score[1],
                    ),
                    callbacks=[
                        _TellFailures(events.tell),
                        KeepBestAndLast(folder, task.score, events.tell),
                        *callbacks,
                    ],
                ),
            )
            result = _finish(trainer, options.max_failures, report, folder, events.tell, notice)
        refused = result.return_value
        if report.user_errors:
            raise _with_checkpoint(report.user_errors[0], folder, result.checkpoint)
        if isinstance(refused, Refused):
            raise UserError(refused.message)
        if check:
            check()
        return _trained_run(folder, result, report, task)


def _what_more_epochs_change(config: TrainingConfig, before: int) -> str:
    """What a run that goes on to more epochs than it was asked for does with its schedule."""
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
    """The result of a run, started again while it fails no more often than it may.

    Ray Train would count failures over the whole run, which may have one every few hours on spot
    machines. Here those count that brought no new checkpoint since the last one.

    Raises:
        TrainingFailedError: it failed once too often, or because its storage has given up.
        UserError: none of its checkpoints is whole.
        TimeoutError: the storage has refused for minutes.
    """
    failures = 0
    while True:
        fall_back(folder, report.handle)
        before = _stored(folder, report)
        try:
            result = _fit(trainer())
        except TrainingFailedError:
            if report.last_words or notice.came:
                raise
            failures = failures + 1 if _stored(folder, report) == before else 1
            if failures > max_failures:
                raise
        else:
            if result.return_value != LEFT or notice.came:
                return result
            failures = 0
        tell({"kind": "again"})


def _with_checkpoint(error: UserError, folder: str, last: Checkpoint | None) -> UserError:
    """The error, which says where training that diverged was last good."""
    if not isinstance(error, Diverged):
        return error
    good = storage.join(folder, Path(last.path).name) if last else "none yet"
    return Diverged(f"{error}; last good checkpoint: {good}", error.epoch)


def _stored_already(folder: str) -> bytes | None:
    """As `_stored`, before the run starts."""
    return storage.read_bytes(storage.join(folder, CHECKPOINT_LIST))


def _stored(folder: str, report: RunReport) -> bytes | None:
    """Ray Train's list of a run's checkpoints, another one with each that is stored whole."""
    return _read(storage.join(folder, CHECKPOINT_LIST), report)


def _read(place: str, report: RunReport) -> bytes | None:
    """The content of a file of a run, None where there is none; waits for its storage.

    Raises:
        TimeoutError: the storage has refused for minutes.
    """
    files, path = storage.open_uri(place)

    def read() -> bytes | None:
        if files.get_file_info(path).type != fs.FileType.File:
            return None
        with files.open_input_stream(path) as stream:
            return bytes(stream.read())

    return retry_storage(place, read, report.handle)


@contextmanager
def _failures_told(report: RunReport) -> Iterator[None]:
    """The report of a run, around it; a failure is raised with what was told of its reason."""
    try:
        with report:
            yield
    except (TrainingFailedError, TimeoutError) as error:
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
    # Of equal ones the last, as `KeepBestAndLast` has it.
    best = uri(pick(reversed(scored), key=lambda pair: pair[0])[1])
    last = uri(result.checkpoint)
    position = _read(storage.join(last, POSITION), report)
    assert position is not None, f"{last} has no {POSITION}"  # Ray Train lists whole ones alone
    return TrainedRun(folder, best, last, list(json.loads(position)["history"]))
