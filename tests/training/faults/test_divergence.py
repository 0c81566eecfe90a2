"""Training whose losses or gradients are not finite."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toy import ToyTask, rows
from toy_loop import (
    STEPS,
    TRAIN_ROWS,
    Interrupt,
    Storage,
    assert_same,
    blocks,
    loop,
    weights,
)

from rnnray.training import checkpoints
from rnnray.training.checkpoints import read_position
from rnnray.training.faults.divergence import Diverged, Divergence
from rnnray.training.rows import Blocks
from rnnray.training.training_options import OptimizerConfig


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
    assert "optimizer.learning_rate" in line
    assert error.value.epoch == pytest.approx(1 + 13 / STEPS)
    assert list(storage.reported)[-1] == "epoch-0001-step-0000008"
    for folder in tmp_path.iterdir():
        checkpoints.load_model(folder)


@pytest.mark.parametrize("skip", [True, False])
def test_a_gradient_that_is_not_finite_counts_though_its_loss_is(skip: bool) -> None:
    optimizer = SimpleNamespace(learning_rate=0.1)
    divergence = Divergence(optimizer, OptimizerConfig(skip_nonfinite=skip), steps_per_epoch=3)
    sums = np.ones((3, 3))
    divergence.take(sums, np.array([1.0, np.inf, 2.0]), 3)
    if skip:
        divergence.check(0, 3, ended=True)
        assert divergence.skipped == 1
        assert sums[:, 0].tolist() == [1, 0, 1]
    else:
        with pytest.raises(Diverged, match=r"step 2: not finite .loss 1, gradient norm inf"):
            divergence.check(0, 3, ended=True)


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
