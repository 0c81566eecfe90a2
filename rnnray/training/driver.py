"""Ray Train: a run of the training loop on several workers, with checkpoints and resumption."""

import json
import math
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.data
import ray.train
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    DataConfig,
    FailureConfig,
    RunConfig,
    ScalingConfig,
    UserCallback,
)

from rnnray import cluster, run_folder, storage
from rnnray.errors import UserError
from rnnray.progress import Events, Tell, say
from rnnray.training import strategy
from rnnray.training.checkpoints import POSITION
from rnnray.training.config import TrainingConfig
from rnnray.training.data import TrainingData, tables
from rnnray.training.options import RunOptions
from rnnray.training.report import RunReport
from rnnray.training.task import Task
from rnnray.training.worker import PeerStopped, Worker

CONFIG = "config.yaml"
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


class _Shares(DataConfig):  # type: ignore[misc]
    """Training data in equal shares, so that workers take equally many steps; of validation data
    every row to exactly one worker.
    """

    def configure(
        self,
        datasets: dict[str, ray.data.Dataset],
        world_size: int,
        worker_handles: Sequence[Any] | None,
        worker_node_ids: list[str] | None,
        **_: Any,
    ) -> list[dict[str, ray.data.DataIterator]]:
        shares: list[dict[str, ray.data.DataIterator]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            splits = dataset.streaming_split(
                world_size, equal=name == "train", locality_hints=worker_node_ids
            )
            for share, split in zip(shares, splits, strict=True):
                share[name] = split
        return shares


class _TellFailures(UserCallback):  # type: ignore[misc]
    """Tells the driver that workers died; runs in Ray Train's controller."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        failures = {rank: str(error).strip() for rank, error in worker_exceptions.items()}
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
            not that of the earlier run, or the data are bad.
    """
    resources = cluster.worker_resources(
        options.workers, options.wants_gpu(), options.cpus_per_worker
    )
    if options.workers > config.global_batch_size:
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
        f"{'GPU' if 'GPU' in resources else 'CPU'}"
    )
    strategy.quiet_tensorflow()
    from ray.train.tensorflow import TensorflowTrainer  # noqa: PLC0415  (imports TensorFlow)

    with RunReport(folder, task) as report, Events(report.handle) as events:
        trainer = TensorflowTrainer(
            _train_worker,
            train_loop_config={
                "job": _WorkerJob(
                    task,
                    config,
                    steps,
                    options.checkpoint_minutes * 60,
                    report_steps,
                    "GPU" in resources,
                    events.tell,
                )
            },
            datasets={"train": data.training, "validation": data.validation},
            dataset_config=_Shares(),
            scaling_config=ScalingConfig(
                num_workers=options.workers,
                use_gpu="GPU" in resources,
                resources_per_worker=resources,
            ),
            run_config=RunConfig(
                storage_path=storage.absolute(options.storage_path),
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
        result = _fit(trainer)
    if report.user_errors:
        raise UserError(report.user_errors[0])
    return _trained_run(folder, result, task)


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


def _trained_run(folder: str, result: Any, task: Task) -> TrainedRun:
    def uri(checkpoint: Checkpoint) -> str:
        return storage.join(folder, Path(checkpoint.path).name)

    name, direction = task.score
    scored = [(metrics[name], c) for c, metrics in result.best_checkpoints if name in metrics]
    pick = max if direction == "max" else min
    best = uri(pick(scored, key=lambda pair: pair[0])[1])
    last = uri(result.checkpoint)
    position = json.loads(storage.read_bytes(storage.join(last, POSITION)) or b"{}")
    return TrainedRun(folder, best, last, position["history"])


def _train_worker(arguments: dict[str, Any]) -> None:
    """What runs in each worker process."""
    job: _WorkerJob = arguments["job"]
    context = ray.train.get_context()
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
        ray.train.report({**metrics, **where}, checkpoint=kept, checkpoint_dir_name=name)

    worker = Worker(
        rank=context.get_world_rank(),
        count=context.get_world_size(),
        train=lambda: tables(ray.train.get_dataset_shard("train")),
        validation=lambda: tables(ray.train.get_dataset_shard("validation")),
        tell=job.tell,
        report=report,
    )
    latest = ray.train.get_checkpoint()
    try:
        with latest.as_directory() if latest else nullcontext() as folder:
            TrainingLoop(
                job.task,
                job.config,
                worker,
                strategy.create_strategy(worker.count),
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
        return
