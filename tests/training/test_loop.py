"""The whole loop on one worker, in this process; several workers are in tests/cluster."""

import itertools
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from lazily import keras
from observed import wait_until
from toy import ToyTask, rows
from toy_loop import (
    BATCH,
    STEPS,
    TRAIN_ROWS,
    Interrupt,
    Storage,
    assert_same,
    blocks,
    loop,
    planted,
    weights,
)

from rnnray.errors import UserError
from rnnray.training.faults.divergence import Diverged
from rnnray.training.rows import Blocks
from rnnray.training.training_options import OptimizerConfig
from rnnray.training.worker import Leaving


def test_it_learns_and_tells_what_it_did(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    storage = Storage(tmp_path)
    history = loop(ToyTask(), storage, epochs=4, tell=events.append).run()
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3, 4]
    assert {metrics["steps"] for metrics in history} == {STEPS}
    assert {metrics["validation_count"] for metrics in history} == {77}
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["validation_right"] > 0.6
    assert history[-1]["learning_rate"] == pytest.approx(0, abs=1e-6)
    assert list(storage.reported) == [f"epoch-000{n}" for n in (1, 2, 3, 4)]
    assert list(storage.reported.values()) == history
    assert [event["epoch"] for event in events if event["kind"] == "epoch"] == [1, 2, 3, 4]
    for metrics in history:
        assert metrics["per_second"] > 0
        assert 0 <= metrics["waiting_share"] <= 1


class Noted(ToyTask):
    """Notes the ids of its batches of training rows."""

    ids: ClassVar[list[int]] = []

    def batch(self, table: pa.Table) -> Any:
        if len(table) <= BATCH:
            self.ids.extend(table["id"].to_pylist())
        return super().batch(table)


def test_each_epoch_trains_on_all_rows_in_an_order_of_its_own(tmp_path: Path) -> None:
    Noted.ids.clear()
    loop(Noted(), Storage(tmp_path), epochs=2).run()
    first, second = Noted.ids[:TRAIN_ROWS], Noted.ids[TRAIN_ROWS:]
    assert sorted(first) == sorted(second) == list(range(TRAIN_ROWS))
    assert first != second


def test_the_loss_is_the_mean_over_rows_and_not_over_batches(tmp_path: Path) -> None:
    """The short last batch (301 = 18 * 16 + 13) must not weigh more than its rows."""
    still = {"optimizer": OptimizerConfig(learning_rate=1e-30), "epochs": 1}
    trained = loop(ToyTask(), Storage(tmp_path), validation=blocks(301), **still)
    (metrics,) = trained.run()
    inputs, targets, _ = ToyTask().batch(rows(301))
    expected = float(np.mean(ToyTask().row_losses(targets, trained.model(inputs))))
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["validation_count"] == 301


def test_the_same_seed_trains_the_same_model_and_another_one_does_not(tmp_path: Path) -> None:
    task = ToyTask(normalized=True, dropout=0.3)
    runs = []
    for number, seed in enumerate((5, 5, 6)):
        trained = loop(task, Storage(tmp_path / str(number)), seed=seed, epochs=1)
        trained.run()
        runs.append(weights(trained))
    assert_same(runs[0], runs[1])
    assert not np.allclose(runs[0][0], runs[2][0], atol=1e-3)


@pytest.mark.parametrize("ends", ["report", "epoch", "leaving", "diverged", "validation"])
def test_no_thread_is_left_of_a_run_that_ends_within_an_epoch(ends: str) -> None:
    """As trials of a sweep do, many of which may run in one process."""

    def report(*_: Any) -> None:
        if ends in ("report", "epoch"):
            raise Interrupt

    broken: dict[str, dict[str, Any]] = {
        "report": {"report_steps": 4},
        "epoch": {"training": blocks(TRAIN_ROWS)},  # the next epoch's feed has begun
        "leaving": {"told_to_leave": lambda: True},
        "diverged": {"optimizer": OptimizerConfig(learning_rate=1e38)},
        "validation": {"report_steps": 4, "validation": Blocks((rows(9), "no table"), (9, 9))},
    }
    before = threading.active_count()
    with pytest.raises((Interrupt, Leaving, Diverged, AttributeError, TypeError)):
        loop(ToyTask(), report, **{"training": blocks(5000), **broken[ends]}).run()
    wait_until(lambda: threading.active_count() <= before, seconds=5)


def test_the_speed_is_that_of_training_without_validation_and_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validations = 0

    def slow(index: int) -> None:
        nonlocal validations
        validations += index == 0

    # Each takes ten seconds of this clock.
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 10 * validations)
    monkeypatch.setattr("rnnray.training.loop.time", clock)

    storage = Storage(tmp_path)
    (metrics,) = loop(
        ToyTask(),
        storage,
        validation=planted(blocks(77, seed=1), slow),
        report_steps=4,
        epochs=1,
    ).run()
    assert validations == 5
    assert metrics["seconds"] > 50
    for each in [*storage.reported.values(), metrics]:
        assert each["per_second"] > TRAIN_ROWS / 2


@pytest.mark.parametrize("split", ["training", "validation"])
@pytest.mark.parametrize("bad", [0, 1])
def test_bad_data_end_the_run_with_their_own_message(tmp_path: Path, split: str, bad: int) -> None:
    asked = itertools.count()

    def broken(index: int) -> None:
        if next(asked) >= 3 * bad:
            raise UserError("shard 3: damaged at byte 77")

    data = planted(blocks(TRAIN_ROWS), broken)
    with pytest.raises(UserError, match="shard 3: damaged at byte 77"):
        loop(ToyTask(), Storage(tmp_path), **{split: data}).run()  # type: ignore[arg-type]


def test_bfloat16_computes_in_16_bits_and_keeps_weights_in_32(tmp_path: Path) -> None:
    policy = keras.config.dtype_policy()
    try:
        trained = loop(ToyTask(), Storage(tmp_path), precision="bfloat16")
        history = trained.run()
    finally:
        keras.config.set_dtype_policy(policy)
    assert {str(v.dtype) for v in trained.model.trainable_variables} == {"float32"}
    assert trained.model.layers[1].compute_dtype == "bfloat16"
    assert history[-1]["loss"] < history[0]["loss"]


def test_a_mean_of_no_validation_rows_is_no_score(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(UserError, match="no validation points"):
        loop(ToyTask(), storage, validation=Blocks((), ())).run()
    assert storage.reported == {}


@pytest.mark.parametrize(("xla", "uses"), [(False, "auto"), (True, False)])
def test_a_loop_under_xla_takes_no_cudnn(tmp_path: Path, xla: bool, uses: object) -> None:
    class Recurrent(ToyTask):
        def build_model(self, *, unroll: bool) -> Any:
            inputs = keras.layers.Input((4,))
            x = keras.layers.LSTM(3)(keras.layers.Reshape((4, 1))(inputs))
            return keras.Model(inputs, keras.layers.Dense(3)(x))

    built = loop(Recurrent(), Storage(tmp_path), training=Blocks.of([rows(9)]), xla=xla)
    assert [each.use_cudnn for each in built.model.layers if hasattr(each, "use_cudnn")] == [uses]
