"""What differs between workers: a worker of two in this process, with a peer that is pretended."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lazily import Lazily, keras
from toy import ToyTask, rows

from rnnray.training.rows import Blocks
from rnnray.training.strategy import create_strategy
from rnnray.training.training_config import OptimizerConfig, TrainingConfig
from rnnray.training.worker import Worker

loops = Lazily("rnnray.training.loop")

PEER = 7.0  # all moving statistics of the other worker
STILL = OptimizerConfig(learning_rate=1e-30)


@pytest.fixture
def averaged(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Pretend a peer; what this worker's moving statistics were before each average."""
    own: list[np.ndarray] = []

    def add_statistics(values: np.ndarray) -> np.ndarray:
        own.append(values)
        return values + PEER

    monkeypatch.setattr("rnnray.training.loop.Sums", lambda *_: lambda values: 2 * values)
    monkeypatch.setattr("rnnray.training.replicas.Sums", lambda *_: add_statistics)
    return own


def twice(table: pa.Table) -> pa.Table:
    """Every eight rows two times: batches of 16 give two workers the same rows."""
    return table.take(np.repeat(np.arange(len(table)).reshape(-1, 8), 2, axis=0).ravel())


def train(task: ToyTask, rank: int, report: Any, **options: Any) -> list[dict[str, float]]:
    worker = Worker(rank, 2, Blocks.of([twice(rows(200))]), Blocks.of([rows(50)]), print, report)
    config = TrainingConfig(optimizer=STILL, epochs=2, global_batch_size=16, shuffle_rows=0)
    return loops.TrainingLoop(task, config, worker, create_strategy(1), **options).run()


@pytest.mark.parametrize(
    "options", [{}, {"checkpoint_seconds": 0.0}, {"report_steps": 12}], ids="".join
)
def test_every_checkpoint_has_the_mean_of_all_workers_moving_statistics(
    averaged: list[np.ndarray], tmp_path: Path, options: dict[str, Any]
) -> None:
    saved: list[Path] = []

    def report(metrics: Any, folder: Path, name: str) -> None:
        saved.append(shutil.copytree(folder, tmp_path / name))

    train(ToyTask(normalized=True), 0, report, **options)
    assert len(saved) == len(averaged) == (2 if not options else len(saved))
    assert len(saved) > 2 or not options
    for folder, own in zip(saved, averaged, strict=True):
        model = keras.saving.load_model(folder / "model.keras")
        statistics = [v.numpy() for v in model.non_trainable_variables if "moving" in v.path]
        np.testing.assert_allclose(np.concatenate(statistics), (own + PEER) / 2, rtol=1e-6)


def losses(task: ToyTask, rank: int) -> list[float]:
    return [metrics["loss"] for metrics in train(task, rank, lambda *_: None)]


def test_workers_and_epochs_drop_out_different_units_and_the_same_run_the_same_ones(
    averaged: list[np.ndarray],
) -> None:
    # All rows in the same order, and weights that stay: without dropout all losses are one.
    plain = [*losses(ToyTask(), 0), *losses(ToyTask(), 1)]
    assert np.ptp(plain) < 1e-5
    task = ToyTask(dropout=0.5)
    first, second = losses(task, 0), losses(task, 1)
    assert losses(task, 1) == pytest.approx(second, abs=1e-6)
    different = sorted([*first, *second])
    assert min(np.diff(different)) > 1e-4
