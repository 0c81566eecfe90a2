"""The training loop: what every worker runs, from the first step to the last checkpoint.

`TrainingLoop.run` reads from top to bottom: restore, then for each epoch train, average, validate,
checkpoint.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.training import checkpoints
from rnnray.training.checkpoints import Position
from rnnray.training.config import TrainingConfig
from rnnray.training.feed import Batch, Feed
from rnnray.training.optimizer import build_optimizer
from rnnray.training.step import make_evaluation_step, make_train_step
from rnnray.training.strategy import Sums
from rnnray.training.task import Task
from rnnray.training.worker import PeerStopped, Worker

# Workers look at the numbers that they summed this often, in steps: often enough for progress and
# checkpoints, seldom enough that a GPU is not made to wait for Python.
_CHECK_STEPS = 8
_PROGRESS_SECONDS = 5.0
# What travels with each step's sums: workers with more data, workers with bad data, rank 0's wish
# for a checkpoint.
_MORE, _FAILED, _DUE = range(3)
_SIGNALS = 3


class TrainingLoop:
    """The training of one model, as one worker of many sees it.

    Args:
        task: what to train.
        config: how.
        worker: this worker.
        strategy: from `rnnray.training.strategy.create_strategy`.
        steps_per_epoch: for the schedule and the progress; data decide when an epoch ends.
        checkpoint_seconds: between checkpoints within an epoch.
        report_steps: validate and report, with a checkpoint, after so many steps of an epoch, and
            again after as many; 0 for the end of each epoch alone.
        unroll: see `Task.build_model`.
        restored: a checkpoint's folder to go on from.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        worker: Worker,
        strategy: Any,
        *,
        steps_per_epoch: int,
        checkpoint_seconds: float = float("inf"),
        report_steps: int = 0,
        unroll: bool = True,
        restored: Path | None = None,
    ) -> None:
        self.task, self.config, self.worker = task, config, worker
        self.steps_per_epoch, self.checkpoint_seconds = steps_per_epoch, checkpoint_seconds
        self.report_steps = report_steps
        # Every worker has the same shape; where the batch does not divide, some rows only fill up.
        share, rest = divmod(config.global_batch_size, worker.count)
        self.rows = share + (worker.rank < rest)
        self.padded_rows = share + (rest > 0)
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
            self.optimizer = build_optimizer(config, config.epochs * steps_per_epoch)
            self.optimizer.build(self.model.trainable_variables)
            if restored is not None:
                checkpoints.restore(restored, self.model, self.optimizer)
                self._tell("resumed", self._position, step=self._position.step)
        self._scope = strategy.scope
        self._train_step = make_train_step(
            strategy,
            self.model,
            self.optimizer,
            task,
            config.optimizer,
            _SIGNALS,
            xla=config.xla,
        )
        self._evaluation_step = make_evaluation_step(self.model, task)
        self._numbers = 2 + len(task.metric_names)
        self._add_up = Sums(strategy, self._numbers + 1)
        self._averaged = [v for v in self.model.non_trainable_variables if "float" in str(v.dtype)]
        self._add_up_averaged = Sums(strategy, sum(np.size(v) for v in self._averaged))
        self._compiled, self._compile_seconds = False, 0.0

    def run(self) -> list[dict[str, float]]:
        """Train to the last epoch; the history of all epochs, those before a resume too.

        Raises:
            UserError: the data are bad.
            PeerStopped: another worker's are.
        """
        position = self._position
        while position.epoch < self.config.epochs:
            started = time.monotonic()
            metrics = self._train_epoch(position, self._feed)
            self._average_statistics()
            metrics |= self._validate()
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
            self.worker.train,
            rows=self.rows,
            padded_rows=self.padded_rows,
            pool_rows=self.config.shuffle_rows,
            seed=(self.config.seed, position.epoch, self.worker.rank),
            skip=position.step,
        )

    def _train_epoch(self, position: Position, feed: Feed) -> dict[str, float]:
        self._seed_dropout(position)
        started = last_checkpoint = time.monotonic()
        last_progress = 0.0
        self._compile_seconds = 0.0
        totals = np.array(position.sums or [0.0] * self._numbers)
        units_before = totals[0]

        def metrics() -> dict[str, float]:
            seconds = time.monotonic() - started - self._compile_seconds
            return self._means(totals) | {
                "per_second": (totals[0] - units_before) / seconds,
                "waiting_share": feed.waited_seconds / seconds,
            }

        step = position.step
        pending: list[Any] = []  # sums of steps that the device may still be busy with
        batch = feed.take()
        more = batch is not None
        self._check_all_have_data(batch, feed.error)
        while True:
            following = feed.take() if more else None
            more = following is not None
            wish = time.monotonic() - last_checkpoint > self.checkpoint_seconds
            signals = np.zeros(_SIGNALS, np.float32)
            signals[[_MORE, _FAILED, _DUE]] = (
                more,
                feed.error is not None,
                wish and self.worker.rank == 0,
            )
            pending.append(self._step(batch or feed.idle(), signals))
            step += 1
            # A worker that has no more must look at every step whether another one has.
            report_is_due = bool(self.report_steps) and step % self.report_steps == 0
            if not more or report_is_due or step % _CHECK_STEPS == 0:
                numbers = np.stack([vector.numpy() for vector in pending]).astype(np.float64)
                pending = []
                totals += numbers[:, : self._numbers].sum(0)
                ended = not numbers[-1, self._numbers + _MORE]
                # Only at steps that every worker looks at: who left earlier would be waited for.
                if ended or step % _CHECK_STEPS == 0:
                    self._raise_failure(feed.error, numbers[-1, self._numbers + _FAILED])
                if ended:
                    break
            if report_is_due:
                self._report_within(position, step, totals, metrics())
                last_checkpoint = time.monotonic()
            if step % _CHECK_STEPS == 0:
                if numbers[-1, self._numbers + _DUE]:
                    last_checkpoint = time.monotonic()
                    self._average_statistics()
                    here = Position(position.epoch, step, totals.tolist(), position.history)
                    self._checkpoint(here, {}, f"epoch-{position.epoch:04d}-step-{step:07d}")
                if time.monotonic() - last_progress > _PROGRESS_SECONDS:
                    last_progress = time.monotonic()
                    self._tell("step", position, step=step, metrics=metrics())
            batch = following
        return {
            "epoch": position.epoch + 1,
            "steps": step,
            **metrics(),
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "resident_mib": _resident_mib(),
        }

    def _report_within(
        self,
        position: Position,
        step: int,
        totals: npt.NDArray[np.float64],
        metrics: dict[str, float],
    ) -> None:
        """Report as at an epoch's end, with a fraction for the epoch; these make no history."""
        self._average_statistics()
        share = min(step / self.steps_per_epoch, 0.9999)
        metrics = {"epoch": position.epoch + share, "steps": step, **metrics} | self._validate()
        here = Position(position.epoch, step, totals.tolist(), position.history)
        self._checkpoint(here, metrics, f"epoch-{position.epoch:04d}-step-{step:07d}")

    def _check_all_have_data(self, batch: Batch | None, error: UserError | None) -> None:
        """Agree with the other workers to begin an epoch, or to end here."""
        sums = np.zeros(self._numbers + 1)
        sums[0], sums[-1] = batch is not None, error is not None
        totals = self._add_up(sums)
        self._raise_failure(error, totals[-1])
        if totals[0] < self.worker.count:
            raise UserError(
                f"fewer training {self.task.row_unit} than workers ({self.worker.count}); use fewer"
            )

    @staticmethod
    def _raise_failure(error: UserError | None, workers_that_failed: float) -> None:
        if error is not None:
            raise error
        if workers_that_failed:
            raise PeerStopped

    def _step(self, batch: Batch, signals: npt.NDArray[np.float32]) -> Any:
        started = time.monotonic()
        vector = self._train_step(batch.inputs, batch.targets, batch.weights, signals)
        if not self._compiled:  # tracing and compiling happen in the first call
            self._compiled, self._compile_seconds = True, time.monotonic() - started
            self._tell("compiled", self._position)
        return vector

    def _validate(self) -> dict[str, float]:
        size = max(self.task.evaluation_rows, self.padded_rows)
        feed = Feed(self.task, self.worker.validation, rows=size, padded_rows=size)
        sums = np.zeros(self._numbers + 1)
        while (batch := feed.take()) is not None:
            sums[:-1] += self._evaluation_step(batch.inputs, batch.targets, batch.weights).numpy()
        # Told to the others before it is raised: they would wait for our sums forever.
        sums[-1] = feed.error is not None
        totals = self._add_up(sums)
        self._raise_failure(feed.error, totals[-1])
        means = {f"validation_{name}": mean for name, mean in self._means(totals[:-1]).items()}
        return means | {"validation_count": totals[0]}

    def _means(self, totals: npt.NDArray[np.float64]) -> dict[str, float]:
        means = totals[1:] / max(totals[0], 1)
        return dict(zip(("loss", *self.task.metric_names), means.tolist(), strict=True))

    def _average_statistics(self) -> None:
        """Make the moving statistics of batch normalisation the mean over the workers.

        Each worker moves its own; rank 0's alone would go into the checkpoint.
        """
        if self.worker.count == 1 or not self._averaged:
            return
        values = [np.asarray(keras.ops.convert_to_numpy(v)) for v in self._averaged]
        flat = np.concatenate([value.ravel() for value in values]).astype(np.float64)
        mean = self._add_up_averaged(flat) / self.worker.count
        parts = np.split(mean, np.cumsum([value.size for value in values])[:-1])
        with self._scope():
            for variable, value, part in zip(self._averaged, values, parts, strict=True):
                variable.assign(part.reshape(value.shape).astype(value.dtype))

    def _seed_dropout(self, position: Position) -> None:
        """Give dropout masks that differ between workers and are the same after a resume."""
        states = [
            v for v in self.model.non_trainable_variables if v.path.endswith("generator_state")
        ]
        with self._scope():
            for index, state in enumerate(states):
                key = (self.config.seed, index, self.worker.rank, position.epoch, position.step)
                words = np.random.SeedSequence(key).generate_state(2)
                state.assign((words >> 1).astype(np.dtype(state.dtype)))

    def _checkpoint(self, position: Position, metrics: dict[str, float], name: str) -> None:
        if self.worker.rank != 0:
            self.worker.report(metrics, None, None)
            return
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            checkpoints.save(
                folder, self.model, self.optimizer, position, self.task.checkpoint_files()
            )
            self.worker.report(metrics, folder, name)

    def _tell(self, kind: str, position: Position, **fields: Any) -> None:
        if self.worker.rank == 0:
            place = {"epoch": position.epoch + 1, "epochs": self.config.epochs}
            self.worker.tell({"kind": kind, **place, "steps": self.steps_per_epoch, **fields})


def _resident_mib() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
