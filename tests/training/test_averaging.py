"""The average of the weights: what it is, where it is used, and that a run goes on with both."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from toy import ToyTask
from toy_loop import Interrupt, Storage, assert_same, loop, weights

from rnnray.training import checkpoints
from rnnray.training.training_options import OptimizerConfig

OPTIONS: dict[str, Any] = {
    "optimizer": OptimizerConfig(name="adam", learning_rate=0.05, average_momentum=0.9),
    "epochs": 2,
}


def model_weights(folder: Path) -> list[np.ndarray]:
    return [v.numpy() for v in checkpoints.load_model(folder).trainable_variables]


class Watched(NamedTuple):
    """A run, and its weights after each of its steps."""

    folder: Path
    history: list[dict[str, float]]
    seen: list[list[np.ndarray]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    trained = loop(ToyTask(), Storage(folder), **OPTIONS)
    seen: list[list[np.ndarray]] = []
    step = trained._train_step

    def take_step(*batch: object) -> object:
        result = step(*batch)
        seen.append([v.numpy() for v in trained.model.trainable_variables])
        return result

    trained._train_step = take_step
    return Watched(folder, trained.run(), seen)


def test_it_is_the_moving_average_of_the_weights_of_all_steps(watched: Watched) -> None:
    expected = watched.seen[0]
    for number, values in enumerate(watched.seen):
        kept = min(0.9, number / (number + 9))
        expected = [
            kept * old + (1 - kept) * new for old, new in zip(expected, values, strict=True)
        ]
    stored = model_weights(watched.folder / "epoch-0002")
    for average, value, last in zip(expected, stored, watched.seen[-1], strict=True):
        np.testing.assert_allclose(value, average, atol=1e-5)
        assert np.abs(value - last).max() > 1e-3


def test_the_average_is_what_is_validated(tmp_path: Path, watched: Watched) -> None:
    # The same data judge the stored model: an epoch of no learning from it.
    still = OptimizerConfig(name="sgd", learning_rate=1e-30)
    again = loop(ToyTask(), Storage(tmp_path), optimizer=still, epochs=1)
    for variable, value in zip(
        again.model.trainable_variables, model_weights(watched.folder / "epoch-0002"), strict=True
    ):
        variable.assign(value)
    scores = again.run()[-1]
    for name in ("validation_loss", "validation_right"):
        assert scores[name] == pytest.approx(watched.history[-1][name], rel=1e-5)


def test_a_run_that_goes_on_ends_with_the_same_weights_and_average(tmp_path: Path) -> None:
    task = ToyTask(normalized=True, dropout=0.3)
    whole = loop(task, Storage(tmp_path / "whole"), **OPTIONS)
    whole.run()
    last = "epoch-0001-step-0000008"
    cut = Storage(tmp_path / "cut", die_after=last)
    with pytest.raises(Interrupt):
        loop(task, cut, checkpoint_seconds=0, **OPTIONS).run()
    for name in ("epoch-0001", last):
        folder = tmp_path / f"from-{name}"
        rest = loop(task, Storage(folder), restored=tmp_path / "cut" / name, **OPTIONS)
        rest.run()
        assert_same(weights(rest), weights(whole))
        assert_same(
            model_weights(folder / "epoch-0002"), model_weights(tmp_path / "whole/epoch-0002")
        )


def test_without_it_the_optimizer_has_no_more_variables_than_before(tmp_path: Path) -> None:
    plain = loop(ToyTask(), Storage(tmp_path), epochs=1)
    assert not [v.path for v in plain.optimizer.variables if "average" in v.path]
