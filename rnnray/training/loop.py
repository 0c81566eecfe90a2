"""The training loop: what every worker runs, from the first step to the last checkpoint.

`TrainingLoop.run` reads from top to bottom: restore, then for each epoch train, average, validate,
checkpoint.
"""

import dataclasses
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rnnray.training import checkpoints
from rnnray.training.batches import epoch_batches
from rnnray.training.checkpoints import Position
from rnnray.training.config import TrainingConfig
from rnnray.training.divergence import Divergence
from rnnray.training.feed import Batch, Feed
from rnnray.training.initial import Initial
from rnnray.training.optimizer import build_optimizer
from rnnray.training.pace import Pace
from rnnray.training.replicas import MovingStatistics, seed_dropout
from rnnray.training.step import counter, make_train_step
from rnnray.training.strategy import Sums, without_cudnn
from rnnray.training.task import Task
from rnnray.training.validation import Validation, means
from rnnray.training.watchdog import STEPS, STORES, WAITS
from rnnray.training.worker import Leaving, Worker, raise_failure, resident_mib

# Workers look at the numbers that they summed this often, in steps: often enough for progress and
# checkpoints, seldom enough that a GPU is not made to wait for Python.
_CHECK_STEPS = 8
_PROGRESS_SECONDS = 5.0
# What travels with each step's sums: workers with bad data, rank 0's wish for a checkpoint, workers
# that must leave; after these the workers' paces, and the gradient norm.
_FAILED, _DUE, _LEAVING = range(3)
_SIGNALS = 3


class TrainingLoop:
    """The training of one model, as one worker of many sees it.

    Args:
        task: what to train.
        config: how.
        worker: this worker.
        strategy: from `rnnray.training.strategy.create_strategy`.
        checkpoint_seconds: between checkpoints within an epoch.
        report_steps: validate and report, with a checkpoint, after so many steps of an epoch, and
            again after as many; 0 for the end of each epoch alone.
        unroll: see `Task.build_model`.
        restored: a checkpoint's folder to go on from.
        initial: weights to begin with.
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
        # Every worker has the same shape; where the batch does not divide, some rows only fill up.
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
            self.model = task.build_model(unroll=unroll)
            if config.xla:
                without_cudnn(self.model)
            self.optimizer = build_optimizer(config, config.epochs * self.steps_per_epoch)
            self.optimizer.build(self.model.trainable_variables)
            if restored is not None:
                checkpoints.restore(restored, self.model, self.optimizer)
                self._tell("resumed", self._position, step=self._position.step)
            elif initial is not None:
                taken = initial.load_into(self.model, task.checkpoint_files())
                self._tell("initial", self._position, message=taken)
        self._strategy = strategy
        # A worker alone waits for nobody.
        self._pace = Pace(worker.rank, worker.count) if worker.count > 1 else None
        arrivals = counter()
        if self._pace:
            worker.pulse.arrived = lambda: int(arrivals.numpy())
        self._signal_count = _SIGNALS + (2 * worker.count if self._pace else 0)
        self._train_step = make_train_step(
            strategy,
            self.model,
            self.optimizer,
            task,
            config.optimizer,
            self._signal_count,
            xla=config.xla,
            timed=self._pace is not None,
            arrivals=arrivals,
        )
        self._numbers = 2 + len(task.metric_names)
        self._add_up = worker.pulse.around(WAITS, Sums(strategy, self._numbers + 1))
        self._validate = Validation(task, worker, self.model, self.padded_rows, self._add_up)
        self._statistics = MovingStatistics(strategy, self.model, worker.count, worker.pulse)
        self._divergence = Divergence(self.optimizer, config.optimizer, self.steps_per_epoch)
        self._compiled, self._seconds_off = False, 0.0

    def run(self) -> list[dict[str, float]]:
        """Train to the last epoch; the history of all epochs, those before a resume too.

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
            metrics |= self._scores(position.epoch, int(metrics["steps"]))
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
        place = self.worker.rank, position.epoch, position.step
        seed_dropout(self._strategy, self.model, self.config.seed, *place)
        started = last_checkpoint = time.monotonic()
        last_progress = self._seconds_off = 0.0
        totals = np.array(position.sums or [0.0] * self._numbers)
        units_before = totals[0]
        self._pause()

        def metrics() -> dict[str, float]:
            seconds = time.monotonic() - started - self._seconds_off
            return means(self.task, totals) | {
                "per_second": (totals[0] - units_before) / seconds,
                "waiting_share": feed.waited_seconds / seconds,
            }

        step = position.step
        pending: list[Any] = []  # what steps gave that the device may still be busy with
        batch = feed.take() if step < self.steps_per_epoch else None
        self._begin_together(feed)
        waited = feed.waited_seconds
        while step < self.steps_per_epoch:
            due = time.monotonic() - last_checkpoint > self.checkpoint_seconds
            signals = self._signals(feed.error is not None, due)
            pending.append(self._step(batch or feed.idle(), signals))
            step += 1
            ended = step == self.steps_per_epoch
            if not ended and feed.error is None:
                batch = feed.take()
            report_is_due = bool(self.report_steps) and step % self.report_steps == 0
            if ended or report_is_due or step % _CHECK_STEPS == 0:
                numbers = self._look(pending, feed.waited_seconds - waited, step)
                pending, waited = [], feed.waited_seconds
                totals += numbers[:, : self._numbers].sum(0)
                said = numbers[-1, self._numbers :]
                raise_failure(feed.error if said[_FAILED] else None, said[_FAILED])
                self._divergence.check(position.epoch, step, ended=ended)
                if ended:
                    break
                here = dataclasses.replace(
                    position, step=step, sums=totals.tolist(), skipped=self._divergence.skipped
                )
            if report_is_due:
                self._report_within(here, metrics())
                last_checkpoint = time.monotonic()
            if step % _CHECK_STEPS == 0:
                if said[_DUE] or said[_LEAVING]:
                    if signals[_LEAVING]:
                        self.worker.tell({"kind": "leaving", "step": step})
                    self._checkpoint_within(here)
                    if said[_LEAVING]:
                        raise Leaving
                    last_checkpoint = time.monotonic()
                if time.monotonic() - last_progress > _PROGRESS_SECONDS:
                    last_progress = time.monotonic()
                    self._tell("step", position, step=step, metrics=metrics())
        return {
            "epoch": position.epoch + 1,
            "steps": step,
            **metrics(),
            **self._divergence.metrics(),
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "resident_mib": resident_mib(),
        }

    def _signals(self, failed: bool, due: bool) -> npt.NDArray[np.float32]:
        signals = np.zeros(self._signal_count, np.float32)
        checkpoint = due and self.worker.rank == 0
        leaving = self.worker.told_to_leave()
        signals[[_FAILED, _DUE, _LEAVING]] = failed, checkpoint, leaving
        if self._pace:
            signals[_SIGNALS:] = self._pace.signals()
        return signals

    def _look(self, pending: list[Any], waited: float, end: int) -> npt.NDArray[np.float64]:
        """The sums of the steps up to `end`, float64 [steps, numbers + signals + 1]; waits for the
        steps.
        """
        vectors = pending if self._pace is None else [vector for vector, _ in pending]
        with self.worker.pulse.doing(STEPS):
            numbers = np.stack([vector.numpy() for vector in vectors]).astype(np.float64)
        self._divergence.take(numbers[:, : self._numbers], numbers[:, -1], end)
        if self._pace is None:
            return numbers
        slow = self._pace.hear(numbers[:, self._numbers + _SIGNALS : -1].sum(0))
        if slow and slow.rank == self.worker.rank:  # who knows where it is
            self.worker.tell({"kind": "straggler", **dataclasses.asdict(slow)})
        self._pace.note(np.stack([times.numpy() for _, times in pending]), waited)
        return numbers

    def _rest(self, since: float) -> None:
        """The time from `since` on was not for steps."""
        self._seconds_off += time.monotonic() - since
        self._pause()

    def _pause(self) -> None:
        self.worker.pulse.pause()
        if self._pace:
            self._pace.pause()

    def _report_within(self, here: Position, metrics: dict[str, float]) -> None:
        """Report as at an epoch's end, with a fraction for the epoch; these make no history."""
        started = time.monotonic()
        self._statistics.average()
        share = min(here.step / self.steps_per_epoch, 0.9999)
        metrics = {"epoch": here.epoch + share, "steps": here.step, **metrics}
        metrics |= self._scores(here.epoch, here.step)
        self._checkpoint(here, metrics, _name_within(here))
        self._rest(started)

    def _scores(self, epoch: int, step: int) -> dict[str, float]:
        scores = self._validate()
        self._divergence.check_validation(epoch, step, scores["validation_loss"])
        return scores

    def _checkpoint_within(self, here: Position) -> None:
        started = time.monotonic()
        self._statistics.average()
        self._checkpoint(here, {}, _name_within(here))
        self._rest(started)

    def _begin_together(self, feed: Feed) -> None:
        """Stop where a worker's first batch is bad: it has none to take steps with meanwhile."""
        sums = np.zeros(self._numbers + 1)
        sums[-1] = feed.error is not None
        raise_failure(feed.error, self._add_up(sums)[-1])

    def _step(self, batch: Batch, signals: npt.NDArray[np.float32]) -> Any:
        started = time.monotonic()
        self.worker.pulse.begin_step()
        with self.worker.pulse.doing(STEPS):
            vector = self._train_step(batch.inputs, batch.targets, batch.weights, signals)
        if not self._compiled:  # tracing and compiling happen in the first call
            self._compiled = True
            self._seconds_off += time.monotonic() - started
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
        with self.worker.pulse.doing(STORES), self.worker.saved(save) as folder:
            self.worker.report(metrics, folder, name)

    def _tell(self, kind: str, position: Position, **fields: Any) -> None:
        if self.worker.rank == 0:
            place = {"epoch": position.epoch + 1, "epochs": self.config.epochs}
            self.worker.tell({"kind": kind, **place, "steps": self.steps_per_epoch, **fields})


def _name_within(here: Position) -> str:
    return f"epoch-{here.epoch:04d}-step-{here.step:07d}"
