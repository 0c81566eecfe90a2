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

from rnnray import run_folder, storage
from rnnray.errors import UserError
from rnnray.progress import Event, Events, Tell, say
from rnnray.training import elastic, strategy
from rnnray.training.checkpoints import POSITION
from rnnray.training.config import TrainingConfig
from rnnray.training.data import Shares, TrainingData
from rnnray.training.options import RunOptions
from rnnray.training.patient_files import PatientFiles, persist
from rnnray.training.report import RunReport
from rnnray.training.task import Task
from rnnray.training.worker_process import LEFT, WorkerJob, run_worker

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
    with _failures_told(report), elastic.room_to_read(scaling), Events(handle) as events:
        trainer = partial(
            TensorflowTrainer,
            run_worker,
            train_loop_config={
                "job": WorkerJob(
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
        while (result := _finish(trainer, folder, options.max_failures, report.handle)) is None:
            events.tell({"kind": "again"})
    if report.user_errors:
        raise UserError(report.user_errors[0])
    return _trained_run(folder, result, report, task)


def _finish(
    trainer: Callable[[], Any], folder: str, max_failures: int, handle: Callable[[Event], None]
) -> Any:
    """The result of a run, or None where it is to be started again.

    Ray Train counts failures over a whole run, which may have one every few hours and no other
    trouble, as on spot machines: one that got further since it was started is started again. And so
    is one whose workers left; to Ray Train it ended well.
    """
    before = _checkpoints(folder, handle)
    try:
        result = _fit(trainer())
    except TrainingFailedError:
        if not max_failures or _checkpoints(folder, handle) <= before:
            raise
        return None
    return None if result.return_value == LEFT else result


def _checkpoints(folder: str, handle: Callable[[Event], None]) -> set[str]:
    """The names of a run's checkpoints."""
    files, path = storage.open_uri(folder)
    selector = fs.FileSelector(path, allow_not_found=True)
    found = persist(folder, lambda: files.get_file_info(selector), handle)
    return {info.base_name for info in found if info.base_name.startswith("epoch-")}


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
