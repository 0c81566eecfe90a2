"""Ray Train: a run of the training loop on several workers, with checkpoints and resumption."""

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyarrow import fs
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    TrainingFailedError,
    UserCallback,
)
from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME

from rnnray import run_folder, storage
from rnnray.errors import UserError
from rnnray.progress import Event, Events, Tell, say
from rnnray.training import elastic, strategy
from rnnray.training.checkpoints import POSITION
from rnnray.training.config import TrainingConfig
from rnnray.training.data import Shares, TrainingData
from rnnray.training.notice import PassedOn
from rnnray.training.options import RunOptions
from rnnray.training.patient_files import PatientFiles, persist
from rnnray.training.report import RunReport
from rnnray.training.task import Task
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
    with PassedOn() as notice, _failures_told(report):

        def take(event: Event) -> None:
            notice.note(event)
            handle(event)

        with elastic.room_to_read(scaling), Events(take) as events:
            job = WorkerJob(
                task,
                config,
                steps,
                options.checkpoint_minutes * 60,
                report_steps,
                options.gpu,
                options.cpus_per_worker,
                events.tell,
            )
            trainer = partial(
                TensorflowTrainer,
                run_worker,
                train_loop_config={"job": job},
                datasets={"train": data.training, "validation": data.validation},
                dataset_config=Shares(),
                scaling_config=scaling,
                run_config=RunConfig(
                    storage_path=path,
                    storage_filesystem=fs.PyFileSystem(PatientFiles(files, folder, events.tell)),
                    name=options.name,
                    failure_config=FailureConfig(max_failures=0),  # see `_finish`
                    checkpoint_config=CheckpointConfig(
                        num_to_keep=1,  # the best; the last one is always kept
                        checkpoint_score_attribute=task.score[0],
                        checkpoint_score_order=task.score[1],
                    ),
                    callbacks=[_TellFailures(events.tell), *callbacks],
                ),
            )
            result = _finish(trainer, options.max_failures, report, folder, events.tell, notice)
        refused = result.return_value
        if report.user_errors or isinstance(refused, Refused):
            raise UserError((report.user_errors or [refused.message])[0])
        return _trained_run(folder, result, report, task)


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
        TimeoutError: the storage has refused for minutes.
    """
    failures = 0
    while True:
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


def _stored(folder: str, report: RunReport) -> bytes | None:
    """Ray Train's list of a run's checkpoints, another one with each that is stored whole."""
    return _read(storage.join(folder, CHECKPOINT_MANAGER_SNAPSHOT_FILENAME), report)


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

    return persist(place, read, report.handle)


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
    best = uri(pick(scored, key=lambda pair: pair[0])[1])
    last = uri(result.checkpoint)
    position = _read(storage.join(last, POSITION), report)
    assert position is not None, f"{last} has no {POSITION}"  # Ray Train lists whole ones alone
    return TrainedRun(folder, best, last, list(json.loads(position)["history"]))
