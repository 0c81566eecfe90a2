"""The training loop of every worker: steps, metrics of each epoch, validation, checkpoints.

The constructor loads the checkpoint to go on from. `TrainingLoop.run` then trains, averages,
validates and saves a checkpoint for each epoch.
"""

import dataclasses
import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rnnray.training import checkpoints
from rnnray.training.averaging import WeightAverage
from rnnray.training.batches import Batch, Feed, epoch_batches
from rnnray.training.checkpoints import Initial, Position
from rnnray.training.faults.divergence import Divergence
from rnnray.training.faults.faulty_task import checked_model, out_of_graph
from rnnray.training.faults.watchdog import STEPS, STORES, WAITS, Pace
from rnnray.training.step import (
    DropoutMasks,
    MovingStatistics,
    build_optimizer,
    counter,
    make_train_step,
)
from rnnray.training.strategy import Sums, without_cudnn
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig
from rnnray.training.validation import Validation, means
from rnnray.training.worker import Flags, Leaving, Worker, raise_failure, resident_mib

# Steps after which the workers look at the sums again: often enough for progress and checkpoints,
# seldom enough that a GPU does not wait for Python.
_CHECK_STEPS = 8
_PROGRESS_SECONDS = 5.0


@dataclass
class _Epoch:
    """Progress of an epoch."""

    position: Position
    """Its beginning, or the position at which it was resumed."""
    sums: npt.NDArray[np.float64]
    """Weights, loss and metrics of its steps, summed over the workers."""
    feed: Feed
    started: float = field(default_factory=time.monotonic)
    seconds_off: float = 0.0
    """Seconds since `started` that were no steps: compiling, validation, checkpoints."""
    last_progress: float = 0.0
    waited_seconds: float = 0.0
    """Seconds of waiting for data until the last call of `waited_now`."""

    def __post_init__(self) -> None:
        self.step, self.weights_before = self.position.step, float(self.sums[0])
        self.last_checkpoint = self.started

    def waited_now(self) -> float:
        """Return the seconds of waiting for data since the last call."""
        before, self.waited_seconds = self.waited_seconds, self.feed.waited_seconds
        return self.waited_seconds - before


class TrainingLoop:
    """The training of one model, as one worker of many sees it.

    Args:
        task: the problem.
        config: how to train it.
        worker: this worker.
        strategy: from `rnnray.training.strategy.create_strategy`.
        checkpoint_seconds: seconds between checkpoints within an epoch.
        report_steps: every this many steps of an epoch, validate and report, with a checkpoint; 0
            for the end of each epoch alone.
        unroll: see `Task.build_model`.
        restored: folder of the checkpoint to go on from.
        initial: weights to begin with, where nothing is restored.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        worker: Worker,
        strategy: Any,
        *,
        checkpoint_seconds: float = float("inf"),
        report_steps: int = 0,
        unroll: bool = True,
        restored: Path | None = None,
        initial: Initial | None = None,
    ) -> None:
        self.task, self.config, self.worker = task, config, worker
        self.steps_per_epoch = math.ceil(worker.training.rows / config.global_batch_size)
        self.checkpoint_seconds, self.report_steps = checkpoint_seconds, report_steps
        # The same on every worker; where the batch does not divide, some rows only fill up.
        self.padded_rows = math.ceil(config.global_batch_size / worker.count)
        self._position = Position() if restored is None else checkpoints.read_position(restored)
        # Data start to come while the model is built.
        if self._position.epoch < config.epochs:
            self._feed = self._start_feed(self._position)
        # Always: a process that trains one trial after the other keeps the last one's.
        keras.config.set_dtype_policy(
            "mixed_bfloat16" if config.precision == "bfloat16" else "float32"
        )
        with strategy.scope():
            keras.utils.set_random_seed(config.seed)
            self.model = checked_model(task, task.build_model(unroll=unroll))
            if config.xla:
                without_cudnn(self.model)
            self.optimizer = build_optimizer(config, config.epochs * self.steps_per_epoch)
            self.optimizer.build(self.model.trainable_variables)
            self._average = WeightAverage(
                strategy, self.model, self.optimizer, config.optimizer.average_momentum
            )
            if restored is not None:
                checkpoints.restore(restored, self.model, self.optimizer)
                self._average.exchange()
                self._tell("resumed", self._position, step=self._position.step)
            elif initial is not None:
                taken = initial.load_into(self.model, task.checkpoint_files())
                self._tell("initial", self._position, message=taken)
        self._dropout = DropoutMasks(strategy, self.model, config.seed, worker.rank)
        # A worker alone waits for nobody.
        self._pace = Pace(worker.rank, worker.count) if worker.count > 1 else None
        arrivals = counter()
        if self._pace:
            worker.pulse.arrived = lambda: int(arrivals.numpy())
        self._train_step = make_train_step(
            strategy,
            self.model,
            self.optimizer,
            task,
            config.optimizer,
            Flags.size(worker.count),
            xla=config.xla,
            timed=self._pace is not None,
            arrivals=arrivals,
            after=self._average.update,
        )
        self._sum_count = 2 + len(task.metric_names)
        self._add_up = worker.pulse.around(WAITS, Sums(strategy, self._sum_count + 1))
        self._validate = Validation(task, worker, self.model, self.padded_rows, self._add_up)
        self._statistics = MovingStatistics(strategy, self.model, worker.count, worker.pulse)
        self._divergence = Divergence(self.optimizer, config.optimizer, self.steps_per_epoch)
        self._compiled = False

    def run(self) -> list[dict[str, float]]:
        """Train to the last epoch; return the history of all epochs, also of those before a resume.

        Raises:
            UserError: the data are bad.
            Diverged: a loss or a gradient is not finite; all workers raise it at the same step.
            PeerStopped: another worker's data are bad.
            Leaving: a worker will be taken away.
        """
        if self._position.epoch >= self.config.epochs:
            return self._position.history
        try:
            return self._train_epochs(self._position)
        finally:
            self._feed.close()

    def _train_epochs(self, position: Position) -> list[dict[str, float]]:
        while position.epoch < self.config.epochs:
            started = time.monotonic()
            self._divergence.skipped = position.skipped
            metrics = self._train_epoch(position, self._feed)
            self._statistics.average()
            metrics |= self._validation_metrics(position.epoch, int(metrics["steps"]))
            metrics["seconds"] = time.monotonic() - started
            self._tell("epoch", position, metrics=metrics)
            position = Position(position.epoch + 1, history=[*position.history, metrics])
            if position.epoch < self.config.epochs:
                # Not before the validation: two readers could each wait for the other's CPU.
                self._feed = self._start_feed(position)
            self._checkpoint(position, metrics, f"epoch-{position.epoch:04d}")
        return position.history

    def _start_feed(self, position: Position) -> Feed:
        return Feed(
            self.task,
            partial(
                epoch_batches,
                self.worker.training,
                batch_rows=self.config.global_batch_size,
                pool_rows=self.config.shuffle_rows,
                seed=(self.config.seed, position.epoch),
                first=position.step,
                rank=self.worker.rank,
                workers=self.worker.count,
            ),
            padded_rows=self.padded_rows,
            pulse=self.worker.pulse,
        )

    def _train_epoch(self, position: Position, feed: Feed) -> dict[str, float]:
        self._dropout.begin(position.epoch, position.dropout_masks)
        sums = np.array(position.sums or [0.0] * self._sum_count)
        epoch = self._epoch = _Epoch(position, sums, feed)
        self._pause()
        pending: list[Any] = []  # results of steps, which the device may still be computing
        batch = feed.take() if epoch.step < self.steps_per_epoch else None
        self._begin_together(feed)
        epoch.waited_now()
        while epoch.step < self.steps_per_epoch:
            mine = self._flags(epoch)
            pending.append(self._step(batch or feed.idle(), mine.packed()))
            epoch.step += 1
            ended = epoch.step == self.steps_per_epoch
            if not ended and feed.error is None:
                batch = feed.take()
            if ended or self._report_is_due(epoch) or epoch.step % _CHECK_STEPS == 0:
                flags = self._look(epoch, pending)
                pending = []
                raise_failure(feed.error if flags.failed else None, flags.failed)
                self._divergence.check(position.epoch, epoch.step, ended=ended)
                if not ended:
                    self._store_if_due(epoch, flags, mine)
                    self._tell_progress(epoch)
        return {
            "epoch": position.epoch + 1,
            "steps": epoch.step,
            **self._metrics(epoch),
            **self._divergence.metrics(),
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "resident_mib": resident_mib(),
        }

    def _flags(self, epoch: _Epoch) -> Flags:
        """Return the flags of this worker for its next step."""
        due = time.monotonic() - epoch.last_checkpoint > self.checkpoint_seconds
        return Flags(
            failed=epoch.feed.error is not None,
            checkpoint_due=due and self.worker.rank == 0,
            leaving=self.worker.told_to_leave(),
            paces=self._pace.tell() if self._pace else np.zeros(0),
        )

    def _look(self, epoch: _Epoch, pending: list[Any]) -> Flags:
        """Wait for steps, add up their sums, and return the flags of all workers."""
        vectors = pending if self._pace is None else [vector for vector, _ in pending]
        with self.worker.pulse.doing(STEPS):
            vector = np.stack([each.numpy() for each in vectors]).astype(np.float64)
        sums, flags_of_steps, norms = np.split(vector, [self._sum_count, -1], axis=1)
        self._divergence.take(sums, norms[:, 0], epoch.step)
        epoch.sums += sums.sum(0)
        flags, waited = Flags.of_steps(flags_of_steps), epoch.waited_now()
        if self._pace:
            slow = self._pace.hear(flags.paces)
            if slow and slow.rank == self.worker.rank:  # it knows its node
                self.worker.tell({"kind": "straggler", **dataclasses.asdict(slow)})
            self._pace.note(np.stack([times.numpy() for _, times in pending]), waited)
        return flags

    def _report_is_due(self, epoch: _Epoch) -> bool:
        return bool(self.report_steps) and epoch.step % self.report_steps == 0

    def _store_if_due(self, epoch: _Epoch, flags: Flags, mine: Flags) -> None:
        """Report within the epoch, save a checkpoint, or leave, where the workers agree on it."""
        report = self._report_is_due(epoch)
        if not (report or flags.checkpoint_due or flags.leaving):
            return
        if mine.leaving:
            self.worker.tell({"kind": "leaving", "step": epoch.step})
        started = time.monotonic()
        metrics = self._metrics(epoch) if report else {}
        self._statistics.average()
        if report:  # as at an epoch's end, with a fraction for the epoch; not in the history
            share = min(epoch.step / self.steps_per_epoch, 0.9999)
            metrics = {"epoch": epoch.position.epoch + share, "steps": epoch.step, **metrics}
            metrics |= self._validation_metrics(epoch.position.epoch, epoch.step)
        reached = dataclasses.replace(
            epoch.position,
            step=epoch.step,
            sums=epoch.sums.tolist(),
            skipped=self._divergence.skipped,
            dropout_masks=self._dropout.given(),
        )
        name = f"epoch-{reached.epoch:04d}-step-{reached.step:07d}"
        self._checkpoint(reached, metrics, name)
        if flags.leaving:
            raise Leaving
        epoch.last_checkpoint = time.monotonic()
        epoch.seconds_off += epoch.last_checkpoint - started
        self._pause()

    def _tell_progress(self, epoch: _Epoch) -> None:
        if time.monotonic() - epoch.last_progress > _PROGRESS_SECONDS:
            epoch.last_progress = time.monotonic()
            self._tell("step", epoch.position, step=epoch.step, metrics=self._metrics(epoch))

    def _metrics(self, epoch: _Epoch) -> dict[str, float]:
        seconds = time.monotonic() - epoch.started - epoch.seconds_off
        return means(self.task, epoch.sums) | {
            "per_second": (epoch.sums[0] - epoch.weights_before) / seconds,
            "waiting_share": epoch.feed.waited_seconds / seconds,
        }

    def _pause(self) -> None:
        self.worker.pulse.pause()
        if self._pace:
            self._pace.pause()

    def _validation_metrics(self, epoch: int, step: int) -> dict[str, float]:
        with self._average.in_place():
            metrics = self._validate()
        self._divergence.check_validation(epoch, step, metrics["validation_loss"])
        return metrics

    def _begin_together(self, feed: Feed) -> None:
        """Stop where a worker's first batch is bad: it has no earlier one to take steps with."""
        sums = np.zeros(self._sum_count + 1)
        sums[-1] = feed.error is not None
        raise_failure(feed.error, self._add_up(sums)[-1])

    def _step(self, batch: Batch, flags: npt.NDArray[np.float32]) -> Any:
        started = time.monotonic()
        self.worker.pulse.begin_step()
        with self.worker.pulse.doing(STEPS), out_of_graph():
            vector = self._train_step(batch.inputs, batch.targets, batch.weights, flags)
        if not self._compiled:  # tracing and compiling happen in the first call
            self._compiled = True
            self._epoch.seconds_off += time.monotonic() - started
            self._tell("compiled", self._position)
        return vector

    def _checkpoint(self, position: Position, metrics: dict[str, float], name: str) -> None:
        # On all workers, so that none waits for the report of rank 0.
        variables = [*self.model.variables, *self.optimizer.variables]
        self._divergence.check_weights(position.epoch, position.step, variables)
        if self.worker.rank != 0:
            with self.worker.pulse.doing(WAITS):
                self.worker.report(metrics, None, None)
            return
        save = partial(
            checkpoints.save,
            model=self.model,
            optimizer=self.optimizer,
            position=position,
            files=self.task.checkpoint_files(),
        )
        with (
            self.worker.pulse.doing(STORES),
            self._average.in_place(),
            self.worker.saved(save) as folder,
        ):
            self.worker.report(metrics, folder, name)

    def _tell(self, kind: str, position: Position, **fields: Any) -> None:
        if self.worker.rank == 0:
            epochs = {"epoch": position.epoch + 1, "epochs": self.config.epochs}
            self.worker.tell({"kind": kind, **epochs, "steps": self.steps_per_epoch, **fields})
