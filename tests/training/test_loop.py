"""The whole loop on one worker, in this process; several workers are in tests/cluster."""

import itertools
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
from toy import ToyTask, rows

from rnnray.errors import UserError
from rnnray.training import checkpoints
from rnnray.training.checkpoints import read_position
from rnnray.training.config import OptimizerConfig, TrainingConfig
from rnnray.training.data import Blocks
from rnnray.training.divergence import Diverged
from rnnray.training.loop import TrainingLoop
from rnnray.training.strategy import create_strategy
from rnnray.training.worker import Leaving, Worker

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
) -> TrainingLoop:
    training = blocks(TRAIN_ROWS) if training is None else training
    validation = blocks(77, seed=1) if validation is None else validation
    worker = Worker(0, 1, training, validation, tell, storage, told_to_leave)
    return TrainingLoop(
        task,
        config(**values),
        worker,
        create_strategy(1),
        checkpoint_seconds=checkpoint_seconds,
        report_steps=report_steps,
        restored=restored,
    )


def weights(trained: TrainingLoop) -> list[np.ndarray]:
    return [v.numpy() for v in [*trained.model.weights, *trained.optimizer.variables]]


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    """To the last bit, but for the sums' order, which TensorFlow does not promise."""
    for mine, other in zip(left, right, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-7)


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


def test_the_loss_is_the_mean_over_rows_and_not_over_batches(tmp_path: Path) -> None:
    """The short last batch (301 = 18 * 16 + 13) must not weigh more than its rows."""
    still = {"optimizer": OptimizerConfig(learning_rate=1e-30), "epochs": 1}
    worker = Worker(0, 1, blocks(301), blocks(301), print, Storage(tmp_path))
    trained = TrainingLoop(
        ToyTask(),
        TrainingConfig(global_batch_size=16, seed=5, **still),
        worker,
        create_strategy(1),
    )
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
        trained = loop(task, Storage(tmp_path / str(number)), seed=seed)
        trained.run()
        runs.append(weights(trained))
    assert_same(runs[0], runs[1])
    assert not np.allclose(runs[0][0], runs[2][0], atol=1e-3)


def test_a_run_that_goes_on_after_an_epoch_ends_with_the_same_weights(tmp_path: Path) -> None:
    task = ToyTask(normalized=True, dropout=0.3)
    whole = loop(task, Storage(tmp_path / "whole"))
    history = whole.run()

    with pytest.raises(Interrupt):
        loop(task, Storage(tmp_path / "cut", die_after="epoch-0001")).run()
    rest = loop(task, Storage(tmp_path / "rest"), restored=tmp_path / "cut/epoch-0001")
    resumed = rest.run()

    assert_same(weights(rest), weights(whole))
    assert [metrics["epoch"] for metrics in resumed] == [1, 2]
    for mine, other in zip(resumed, history, strict=True):
        for name in ("loss", "right", "validation_loss", "validation_right", "steps"):
            assert mine[name] == pytest.approx(other[name], rel=1e-5)


def test_a_run_that_goes_on_within_an_epoch_trains_on_every_row_once(tmp_path: Path) -> None:
    task = ToyTask(normalized=True, dropout=0.3)
    whole = loop(task, Storage(tmp_path / "whole"))
    history = whole.run()

    name = "epoch-0001-step-0000016"
    cut = Storage(tmp_path / "cut", die_after=name)
    with pytest.raises(Interrupt):
        loop(task, cut, checkpoint_seconds=0).run()
    position = read_position(tmp_path / "cut" / name)
    assert (position.epoch, position.step) == (1, 16)
    assert position.sums[0] == 16 * BATCH
    assert len(position.history) == 1

    events: list[dict[str, Any]] = []
    rest = loop(
        task, Storage(tmp_path / "rest"), restored=tmp_path / "cut" / name, tell=events.append
    )
    resumed = rest.run()
    assert_same(weights(rest), weights(whole))
    assert [metrics["epoch"] for metrics in resumed] == [1, 2]
    assert resumed[1]["steps"] == STEPS
    # The means of the whole epoch: of the rows before the checkpoint, and of those behind it.
    for metric in ("loss", "right", "validation_loss"):
        assert resumed[1][metric] == pytest.approx(history[1][metric], rel=1e-5)
    assert events[0] | {"kind": "resumed", "epoch": 2, "step": 16} == events[0]


def test_checkpoints_within_an_epoch_come_as_often_as_asked(tmp_path: Path) -> None:
    often, never = Storage(tmp_path / "often"), Storage(tmp_path / "never")
    loop(ToyTask(), often, checkpoint_seconds=0, epochs=1).run()
    loop(ToyTask(), never, checkpoint_seconds=3600, epochs=1).run()
    steps = [f"epoch-0000-step-{step:07d}" for step in (8, 16)]
    assert list(often.reported) == [*steps, "epoch-0001"]
    assert list(never.reported) == ["epoch-0001"]
    # No validation score: such a checkpoint is never the best.
    assert often.reported[steps[0]] == {}


def test_a_worker_that_is_told_to_leave_checkpoints_first_and_loses_no_step(tmp_path: Path) -> None:
    whole = loop(ToyTask(), Storage(tmp_path / "whole"))
    whole.run()

    events: list[dict[str, Any]] = []
    asked = iter(range(1000))
    cut = Storage(tmp_path / "cut")
    with pytest.raises(Leaving):
        loop(
            ToyTask(), cut, told_to_leave=lambda: next(asked) >= STEPS + 3, tell=events.append
        ).run()
    name = "epoch-0001-step-0000008"
    assert list(cut.reported) == ["epoch-0001", name]
    assert cut.reported[name] == {}
    assert {"kind": "leaving", "step": 8} in events

    rest = loop(ToyTask(), Storage(tmp_path / "rest"), restored=tmp_path / "cut" / name)
    rest.run()
    assert_same(weights(rest), weights(whole))


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
    for _ in range(2):
        with pytest.raises((Interrupt, Leaving, Diverged, AttributeError, TypeError)):
            loop(ToyTask(), report, **{"training": blocks(5000), **broken[ends]}).run()
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


def test_the_speed_is_that_of_training_without_validation_and_checkpoints(tmp_path: Path) -> None:
    validated: list[float] = []

    def slow(index: int) -> None:
        if index == 0:
            validated.append(time.monotonic())
            time.sleep(1)

    storage = Storage(tmp_path)
    (metrics,) = loop(
        ToyTask(),
        storage,
        validation=planted(blocks(77, seed=1), slow),
        report_steps=4,
        epochs=1,
    ).run()
    assert len(validated) == 5
    assert metrics["seconds"] > 5
    for each in [*storage.reported.values(), metrics]:
        assert each["per_second"] > TRAIN_ROWS / 2


def test_a_run_that_is_done_takes_no_step_and_reads_no_data(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "first")
    history = loop(ToyTask(), storage).run()

    def forbidden(index: int) -> None:
        raise AssertionError("read data")

    again = loop(
        ToyTask(),
        Storage(tmp_path / "again"),
        training=planted(blocks(TRAIN_ROWS), forbidden),
        validation=planted(blocks(77), forbidden),
        restored=tmp_path / "first/epoch-0002",
    )
    assert again.run() == history
    assert not (tmp_path / "again").exists()


class Poisoned(ToyTask):
    """The points with the id 200 are infinite."""

    def batch(self, table: pa.Table) -> Any:
        inputs, targets, row_weights = super().batch(table)
        inputs[table["id"].to_numpy() == 200, 0] = np.inf
        return inputs, targets, row_weights


def test_training_that_diverged_stops_at_the_next_look_and_keeps_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    storage = Storage(tmp_path)
    there = blocks(TRAIN_ROWS)
    passes = itertools.count()

    class BadInTheSecondEpoch(Blocks):
        def table(self, index: int) -> pa.Table:
            table = super().table(index)
            bad = next(passes) >= len(self.tables)
            return table.set_column(0, "id", pa.array(table["id"].to_numpy() + 1000 * (not bad)))

    data = BadInTheSecondEpoch(there.tables, there.counts)
    with pytest.raises(Diverged) as error:
        loop(Poisoned(), storage, training=data, shuffle_rows=0, checkpoint_seconds=0).run()
    line = str(error.value)
    assert "epoch 2, step 13: not finite (loss " in line
    assert re.search(
        r"learning rate 0\.0\d+, largest finite gradient norm [\d.]+ at step \d+", line
    )
    assert "--optimizer.learning-rate" in line
    assert error.value.epoch == pytest.approx(1 + 13 / STEPS)
    assert list(storage.reported)[-1] == "epoch-0001-step-0000008"
    for folder in tmp_path.iterdir():
        checkpoints.load_model(folder)


def test_a_validation_that_is_not_finite_ends_the_run_too(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(Diverged, match="epoch 1, step 10: not finite in the validation"):
        loop(Poisoned(), storage, validation=blocks(250), training=blocks(150)).run()
    assert not storage.reported


def test_steps_that_are_not_finite_are_skipped_and_counted_where_asked(tmp_path: Path) -> None:
    optimizer = OptimizerConfig(name="adam", learning_rate=0.02, skip_nonfinite=True)
    whole = loop(
        Poisoned(normalized=True), Storage(tmp_path / "whole"), optimizer=optimizer, shuffle_rows=0
    )
    history = whole.run()
    assert [metrics["skipped_steps"] for metrics in history] == [1, 1]
    assert history[1]["loss"] < history[0]["loss"] < 2

    name = "epoch-0000-step-0000016"
    cut = Storage(tmp_path / "cut", die_after=name)
    values = {"optimizer": optimizer, "shuffle_rows": 0}
    with pytest.raises(Interrupt):
        loop(Poisoned(normalized=True), cut, checkpoint_seconds=0, **values).run()
    assert read_position(tmp_path / "cut" / name).skipped == 1
    rest = loop(
        Poisoned(normalized=True),
        Storage(tmp_path / "rest"),
        restored=tmp_path / "cut" / name,
        **values,
    )
    assert [metrics["skipped_steps"] for metrics in rest.run()] == [1, 1]
    assert_same(weights(rest), weights(whole))


def test_an_epoch_of_which_every_step_was_skipped_ends_the_run(tmp_path: Path) -> None:
    optimizer = OptimizerConfig(learning_rate=0.02, skip_nonfinite=True)
    data = Blocks.of([rows(64).set_column(0, "id", pa.array([200] * 64))])
    with pytest.raises(Diverged, match="all were skipped"):
        loop(Poisoned(), Storage(tmp_path), training=data, optimizer=optimizer).run()


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


def test_the_task_s_own_files_lie_in_every_checkpoint(tmp_path: Path) -> None:
    loop(ToyTask(), Storage(tmp_path), epochs=1).run()
    assert (tmp_path / "epoch-0001/toy.txt").read_text() == "a toy\n"


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
        def build_model(self, *, unroll: bool) -> keras.Model:
            inputs = keras.layers.Input((4,))
            x = keras.layers.LSTM(3)(keras.layers.Reshape((4, 1))(inputs))
            return keras.Model(inputs, keras.layers.Dense(3)(x))

    built = loop(Recurrent(), Storage(tmp_path), training=Blocks.of([rows(9)]), xla=xla)
    assert [each.use_cudnn for each in built.model.layers if hasattr(each, "use_cudnn")] == [uses]
