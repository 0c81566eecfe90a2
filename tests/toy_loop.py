"""The training loop on the toy: its data, its storage, and what it ended with."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from lazily import Lazily
from toy import ToyTask, rows

from rnnray.training.rows import Blocks
from rnnray.training.strategy import create_strategy
from rnnray.training.training_options import OptimizerConfig, TrainingConfig
from rnnray.training.worker import Worker

loops = Lazily("rnnray.training.loop")

TRAIN_ROWS, BATCH = 301, 16
STEPS = 19  # 301 / 16, rounded up


class Interrupt(Exception):  # noqa: N818
    """The process was killed."""


class Storage:
    """Keeps every checkpoint, and dies after one of them when told to."""

    def __init__(self, folder: Path, die_after: str | None = None) -> None:
        self.folder, self.die_after = folder, die_after
        self.reported: dict[str, dict[str, float]] = {}

    def __call__(self, metrics: dict[str, float], source: Path | None, name: str | None) -> None:
        assert source is not None
        assert name is not None
        shutil.copytree(source, self.folder / name)
        self.reported[name] = metrics
        if name == self.die_after:
            raise Interrupt


def blocks(count: int, seed: int = 0) -> Blocks:
    table = rows(count, seed=seed)
    return Blocks.of(table.slice(start, 50) for start in range(0, count, 50))


@dataclass(frozen=True)
class Planted(Blocks):
    """Blocks of which each is asked for in another way."""

    ask: Callable[[int], None] = print

    def table(self, index: int) -> pa.Table:
        self.ask(index)
        return super().table(index)


def planted(there: Blocks, ask: Callable[[int], None]) -> Planted:
    return Planted(there.tables, there.counts, ask)


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig(
        **{
            "optimizer": OptimizerConfig(
                name="adamw",
                learning_rate=0.02,
                schedule="cosine",
                warmup_share=0.2,
                clip="global",
                clip_norm=0.5,
            ),
            "epochs": 2,
            "global_batch_size": BATCH,
            "shuffle_rows": 100,
            "seed": 5,
        }
        | values
    )


def loop(
    task: ToyTask,
    storage: Callable[[dict[str, float], Path | None, str | None], None],
    *,
    training: Blocks | None = None,
    validation: Blocks | None = None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
    restored: Path | None = None,
    checkpoint_seconds: float = float("inf"),
    report_steps: int = 0,
    told_to_leave: Callable[[], bool] = lambda: False,
    **values: Any,
) -> Any:
    training = blocks(TRAIN_ROWS) if training is None else training
    validation = blocks(77, seed=1) if validation is None else validation
    worker = Worker(0, 1, training, validation, tell, storage, told_to_leave=told_to_leave)
    return loops.TrainingLoop(
        task,
        config(**values),
        worker,
        create_strategy(1),
        checkpoint_seconds=checkpoint_seconds,
        report_steps=report_steps,
        restored=restored,
    )


def weights(trained: Any) -> list[np.ndarray]:
    return [v.numpy() for v in [*trained.model.weights, *trained.optimizer.variables]]


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    """To the last bit, but for the sums' order, which TensorFlow does not promise."""
    for mine, other in zip(left, right, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-7)
