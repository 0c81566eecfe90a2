"""A sweep of the toy; run as a file, it is a driver that a test may kill."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ray
import toy
from toy import ToyTask

from rnnray import cluster
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.training_options import OptimizerConfig, TrainingConfig
from rnnray.tuning import results, sweep
from rnnray.tuning.results import Trial
from rnnray.tuning.space import Range
from rnnray.tuning.sweep_options import SweepOptions

EPOCHS = 3
# The toy learns fast at 0.1, slowly at 0.001, and not at all at 1e-7.
RATES = [1e-7, 0.1, 0.001]
CONFIG = TrainingConfig(
    optimizer=OptimizerConfig(name="adam", learning_rate=0.01),
    epochs=EPOCHS,
    global_batch_size=32,
    seed=5,
)


@dataclass(frozen=True)
class EachRate:
    """Draws the rates one after the other, so that a test knows which trial has which."""

    values: tuple[Any, ...]

    def draw(self, rng: Any) -> Any:
        drawn = rng.__dict__.setdefault("drawn", {})
        index = drawn[self] = drawn.get(self, -1) + 1
        return self.values[index % len(self.values)]


@dataclass(frozen=True)
class PlantedTask(ToyTask):
    """Writes a line a start; diverges, or dies or hangs once, at a planted learning rate."""

    rate: float = 0.0
    folder: str = ""
    nan_at: float = -1.0
    killed_at: float = -1.0
    hangs_at: float = -1.0
    seconds: float = 0.0
    taken: ClassVar[list[int]] = []

    def build_model(self, *, unroll: bool) -> Any:
        with (Path(self.folder) / f"starts-{self.rate}").open("a") as file:
            file.write("started\n")
        return super().build_model(unroll=unroll)

    def row_losses(self, targets: Any, logits: Any) -> Any:
        losses = super().row_losses(targets, logits)
        return losses * float("nan") if self.rate == self.nan_at else losses

    def batch(self, table: Any) -> Any:
        time.sleep(self.seconds)
        inputs, targets, weights = super().batch(table)
        if self.rate == self.killed_at:
            # Data come while the model is built: not before this start stands written.
            deadline = time.monotonic() + 60
            while not starts(Path(self.folder), self.rate) and time.monotonic() < deadline:
                time.sleep(0.01)
            try:
                os.close(os.open(Path(self.folder) / "killed", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if self.rate == self.hangs_at and len(table) == CONFIG.global_batch_size:
            self.taken.append(len(table))
            if len(self.taken) == 28 and starts(Path(self.folder), self.rate) == 1:
                (newest,) = Path(self.folder).glob("toy/trial-*1/checkpoint_*1/model.keras")
                os.truncate(newest, 1000)
                time.sleep(3600)
        return inputs, targets, weights


@dataclass(frozen=True)
class ToyProblem:
    config: TrainingConfig
    folder: str
    nan_at: float = -1.0
    killed_at: float = -1.0
    hangs_at: float = -1.0
    seconds: float = 0.0

    def task(self, config: TrainingConfig) -> PlantedTask:
        return PlantedTask(
            rate=config.optimizer.learning_rate,
            folder=self.folder,
            nan_at=self.nan_at,
            killed_at=self.killed_at,
            hangs_at=self.hangs_at,
            seconds=self.seconds,
        )

    def data(self, config: TrainingConfig) -> TrainingData:
        rows, held_out = toy.rows(320), toy.rows(100, seed=1)
        return TrainingData(Blocks.of([rows]), Blocks.of([held_out]))


def run(
    folder: Path,
    rates: list[float],
    *,
    name: str = "toy",
    xla: tuple[bool, ...] = (),
    **options: Any,
) -> list[Trial]:
    """Sweep over the rates, one trial each, and over `xla` if given; the trials in that order."""
    ray.cloudpickle.register_pickle_by_value(toy)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    planted = {
        key: options.pop(key)
        for key in ("nan_at", "killed_at", "hangs_at", "seconds")
        if key in options
    }
    folder.mkdir(parents=True, exist_ok=True)
    problem = ToyProblem(CONFIG, str(folder), **planted)
    searched: Any = {"optimizer.learning_rate": EachRate(tuple(rates))}
    if "samples" in options:  # drawn from a range instead, by a searcher or by pbt
        searched = {"optimizer.learning_rate": Range(min(rates), max(rates), log=True)}
    if xla:
        searched["xla"] = EachRate(xla)
    grid = sweep.run(
        problem,
        searched,
        SweepOptions(storage_path=str(folder), name=name, **{"samples": len(rates)} | options),
        changeable=searched,
    )
    return results.collect(grid, problem.task(CONFIG).score, EPOCHS)


def starts(folder: Path, rate: float) -> int:
    """How often a trial was started."""
    file = folder / f"starts-{rate}"
    return len(file.read_text().splitlines()) if file.exists() else 0


if __name__ == "__main__":
    if sys.argv[2:3] == ["wide"]:
        cluster.connect(dashboard=True)
        trials = run(
            Path(sys.argv[1]),
            [0.1, 1e-7],
            workers_per_trial=2,
            max_concurrent=1,
            reduction=2.0,
            killed_at=float(sys.argv[3]),
        )
        ended = time.monotonic()
        while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
            assert time.monotonic() < ended + 60, "the workers of a stopped trial hold its CPUs"
            time.sleep(0.1)
        found = [
            [trial.curve.status for trial in trials],
            [len(trial.reports) for trial in trials],
            [trial.checkpoint for trial in trials],
        ]
        sys.stdout.write("\n" + json.dumps(found) + "\n")
    else:
        cluster.connect()
        run(Path(sys.argv[1]), RATES, scheduler="none", max_concurrent=1, seconds=0.05)
