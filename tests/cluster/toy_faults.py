"""Runs of the toy at a real task's pace, with a trace of who took which batch when, and faults."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ray
import ray.data
import ray.train
import toy
from toy import ToyTask

from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.training_options import OptimizerConfig, RunOptions, TrainingConfig

ROWS, HELD_OUT, BATCH = 4000, 90, 20
STEPS = ROWS // BATCH


@dataclass(frozen=True)
class Traced(ToyTask):
    """Each worker writes a line a batch into a file of its own: its process and the time."""

    folder: str = ""
    seconds: float = 0.02
    """Of computing for each batch."""
    made: ClassVar[list[int]] = []

    def batch(self, rows: Any) -> Any:
        began = time.thread_time()
        while time.thread_time() - began < self.seconds:
            pass
        self.made.append(len(rows))
        rank = ray.train.get_context().get_world_rank()
        self.fault(rank, len(self.made))
        with (Path(self.folder) / f"worker-{rank}").open("a") as trace:
            trace.write(f"{os.getpid()} {time.time()}\n")
        return super().batch(rows)

    def fault(self, rank: int, batches: int) -> None:
        """What goes wrong before this batch of this process."""

    def once(self) -> bool:
        """True for the first process that asks, whose id is then in the marker."""
        try:
            with (Path(self.folder) / "fault").open("x") as marker:
                marker.write(str(os.getpid()))
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class Noticed(Traced):
    """A worker gets SIGTERM, as from a machine that shuts down."""

    rank: int = 0
    batches: int = 0

    def fault(self, rank: int, batches: int) -> None:
        if (rank, batches) == (self.rank, self.batches) and self.once():
            os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class SlowDisk(Traced):
    """The data of one worker come ten times as slowly as the others'."""

    rank: int = 0

    def fault(self, rank: int, batches: int) -> None:
        if rank == self.rank:
            time.sleep(9 * self.seconds)


@dataclass(frozen=True)
class Hung(Traced):
    """One worker hangs, once: in its read, in its step, or as a process that is stopped."""

    rank: int = 1
    batches: int = 0
    where: str = "read"

    def fault(self, rank: int, batches: int) -> None:
        if (rank, batches) == (self.rank, self.batches) and self.once():
            if self.where == "read":
                time.sleep(3600)
            elif self.where == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                self.hangs.append(True)

    hangs: ClassVar[list[bool]] = []

    def row_losses(self, targets: Any, logits: Any) -> Any:
        import tensorflow as tf  # noqa: PLC0415

        def wait(losses: Any) -> Any:
            while self.hangs:
                time.sleep(1)
            return losses

        losses = super().row_losses(targets, logits)
        return tf.ensure_shape(tf.grad_pass_through(lambda x: hang(x, wait))(losses), losses.shape)


def hang(losses: Any, wait: Any) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    return tf.ensure_shape(tf.numpy_function(wait, [losses], tf.float32), losses.shape)


def trace(folder: Path, rank: int) -> list[tuple[int, float]]:
    """Process and time of each batch of a worker."""
    file = folder / f"worker-{rank}"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(pid), float(at)) for pid, at in (line.split() for line in lines)]


def seconds_to_recover(folder: Path, fault: float | None = None) -> float:
    """From the fault, or the marker's time, until worker 0 of the next group has taken a step."""
    fault = fault or (folder / "fault").stat().st_mtime
    lines = trace(folder, 0)
    before = {pid for pid, at in lines if at < fault}
    after = [at for pid, at in lines if pid not in before]
    # A feed makes batches ahead of the steps: five, before the first one is taken.
    return after[6] - fault


def train_toy(task: Traced, *, epochs: int = 2, **options: Any) -> TrainedRun:
    """The toy on two workers."""
    for module in (toy, sys.modules[__name__]):  # the workers do not find modules of the tests
        ray.cloudpickle.register_pickle_by_value(module)
    rows, held_out = toy.rows(ROWS), toy.rows(HELD_OUT, seed=1)
    return driver.train(
        task,
        TrainingConfig(
            optimizer=OptimizerConfig(name="adam", learning_rate=0.01),
            epochs=epochs,
            global_batch_size=BATCH,
            shuffle_rows=100,
            seed=5,
        ),
        RunOptions(**({"storage_path": task.folder, "name": "toy", "workers": 2} | options)),
        TrainingData(
            Blocks.of(rows.slice(i, 200) for i in range(0, ROWS, 200)), Blocks.of([held_out])
        ),
    )


def check_history(run: TrainedRun, epochs: int = 2) -> None:
    """Right number of epochs, no gaps, no doubles."""
    expected = [(epoch, STEPS) for epoch in range(1, epochs + 1)]
    assert [(each["epoch"], each["steps"]) for each in run.history] == expected
    assert {each["validation_count"] for each in run.history} == {HELD_OUT}


class Aside:
    """Something that happens to a run meanwhile; its errors are the test's."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._error: BaseException | None = None

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error:
            raise self._error
