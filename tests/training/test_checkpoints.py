"""Checkpoints: what is written comes back, and what is no checkpoint is refused in a sentence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lazily import keras, tf
from toy import ToyTask

from rnnray.errors import UserError
from rnnray.training import checkpoints
from rnnray.training.checkpoints import Position, read_initial

POSITION = Position(
    epoch=2, step=17, sums=[544.0, 123.25, 400.0], history=[{"loss": 0.5}, {"loss": 0.25}]
)


def trained(seed: int, steps: int) -> tuple[Any, Any]:
    keras.utils.set_random_seed(seed)
    model = ToyTask(normalized=True).build_model(unroll=True)
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build(model.trainable_variables)
    for _ in range(steps):
        optimizer.apply([tf.ones(v.shape) for v in model.trainable_variables])
    return model, optimizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoints.save(tmp_path, *trained(1, 3), POSITION, {"classes.txt": "ant\nbee\n"})
    return tmp_path


def test_weights_and_optimizer_come_back_exactly(folder: Path) -> None:
    expected, expected_optimizer = trained(1, 3)
    model, optimizer = trained(2, 0)
    checkpoints.restore(folder, model, optimizer)
    for mine, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    for mine, other in zip(optimizer.variables, expected_optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    assert int(optimizer.iterations) == 3


def test_a_diverged_run_s_nan_does_not_make_the_checkpoint_unreadable(tmp_path: Path) -> None:
    position = Position(epoch=1, history=[{"loss": float("nan")}])
    checkpoints.save(tmp_path, *trained(1, 0), position, {})
    assert np.isnan(checkpoints.read_position(tmp_path).history[0]["loss"])


def test_the_model_stands_alone(folder: Path) -> None:
    expected, _ = trained(1, 3)
    inputs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    loaded = checkpoints.load_model(folder)
    np.testing.assert_allclose(loaded(inputs), expected(inputs), atol=1e-6)


def test_position_and_the_task_s_files_lie_beside_the_model_and_nothing_is_pickled(
    folder: Path,
) -> None:
    assert (folder / "classes.txt").read_text() == "ant\nbee\n"
    names = {path.name for path in folder.iterdir()}
    assert names == {"classes.txt", "model.keras", "optimizer.npz", "position.json"}
    assert checkpoints.read_position(folder) == POSITION
    json.loads((folder / "position.json").read_text())
    with np.load(folder / "optimizer.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)


def test_the_model_card_ends_with_the_scores_of_the_last_epoch(tmp_path: Path) -> None:
    model, optimizer = trained(1, 3)
    history = [{"loss": 2.0, "validation_loss": 1.75, "validation_top1": 0.25}]
    for name, position, said in (
        ("new", Position(step=8), "After 0 epochs and 8 steps of the next. Not validated yet.\n"),
        ("done", Position(1, history=history), "After 1 epoch. On the validation split:\n\n"),
        ("within", Position(1, 8, history=history), "of the next. Of epoch 1, on the validation"),
    ):
        (tmp_path / name).mkdir()
        files = {"README.md": "# A model\n", "other.txt": "as it is\n"}
        checkpoints.save(tmp_path / name, model, optimizer, position, files)
        card = (tmp_path / name / "README.md").read_text()
        assert card.startswith("# A model\n\n## Scores\n\nAfter ")
        assert said in card
        assert ("| loss | 1.75 |\n| top1 | 0.25 |\n" in card) == bool(position.history)
        assert (tmp_path / name / "other.txt").read_text() == "as it is\n"


def test_a_model_that_is_not_finite_is_neither_written_nor_loaded(
    folder: Path, tmp_path: Path
) -> None:
    model, optimizer = trained(1, 3)
    model.weights[1].assign(np.full(8, np.inf, np.float32))
    (tmp_path / "new").mkdir()
    with pytest.raises(UserError, match="bias is not finite"):
        checkpoints.save(tmp_path / "new", model, optimizer, POSITION, {})
    assert not list((tmp_path / "new").iterdir())
    model.save(folder / "model.keras")  # as earlier versions wrote it
    with pytest.raises(UserError, match=r"model\.keras: its training diverged .*bias"):
        checkpoints.load_model(folder)


def test_a_model_that_was_cut_off_is_an_error_that_names_the_file(folder: Path) -> None:
    content = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"model\.keras: cannot be loaded"):
        checkpoints.load_model(folder)


def test_a_folder_that_is_no_checkpoint_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such checkpoint folder"):
        checkpoints.check(tmp_path / "nowhere")
    for name in ("model.keras", "optimizer.npz"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"not a checkpoint .* no position\.json"):
        checkpoints.check(tmp_path)


@dataclass(frozen=True)
class NamedTask(ToyTask):
    class_names: tuple[str, ...] = ("ant", "bee", "cow")
    units: int = 8

    def build_model(self, *, unroll: bool) -> Any:
        inputs = keras.layers.Input((4,))
        x = keras.layers.Dense(self.units, activation="relu")(inputs)
        return keras.Model(inputs, keras.layers.Dense(len(self.class_names))(x))

    def checkpoint_files(self) -> Mapping[str, str]:
        return {"classes.txt": "".join(f"{name}\n" for name in self.class_names)}


def written(folder: Path, task: NamedTask) -> list[Any]:
    """Write a checkpoint; its weights, none of them as it began."""
    model = task.build_model(unroll=False)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    folder.mkdir()
    checkpoints.save(folder, model, optimizer, Position(), task.checkpoint_files())
    return model.get_weights()


def begun(folder: Path, task: NamedTask) -> tuple[Sequence[Any], Sequence[Any], str]:
    """Fresh weights, those that a new run begins with, and what it says."""
    model = task.build_model(unroll=False)
    fresh = model.get_weights()
    said = read_initial(str(folder), task).load_into(model, task.checkpoint_files())
    return fresh, model.get_weights(), said


def test_the_same_model_begins_with_all_weights(tmp_path: Path) -> None:
    theirs = written(tmp_path / "old", NamedTask())
    _, ours, said = begun(tmp_path / "old", NamedTask())
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert said == f"begins with 4 of 4 arrays of weights of {tmp_path}/old"


@pytest.mark.parametrize("names", [("cow", "dog", "ant"), ("cow", "dog", "ant", "elk")])
def test_outputs_go_by_the_names_of_classes_and_not_by_their_number(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    theirs = written(tmp_path / "old", NamedTask())
    fresh, ours, said = begun(tmp_path / "old", NamedTask(class_names=names))
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_array_equal(mine, other)
    for mine, other, new in zip(ours[2:], theirs[2:], fresh[2:], strict=True):
        np.testing.assert_array_equal(mine[..., [0, 2]], other[..., [2, 0]])
        np.testing.assert_array_equal(mine[..., 1], new[..., 1])
    assert f"outputs of 2 of {len(names)} classes, by their names" in said


def test_what_does_not_fit_is_named_and_starts_untrained(tmp_path: Path) -> None:
    theirs = written(tmp_path / "old", NamedTask())
    fresh, ours, said = begun(tmp_path / "old", NamedTask(units=9))
    for mine, new in zip(ours[:3], fresh[:3], strict=True):
        np.testing.assert_array_equal(mine, new)
    np.testing.assert_array_equal(ours[3], theirs[3])  # the outputs' bias
    assert "begins with 1 of 4 arrays" in said
    assert "dense/vars/0 (4x8, 4x9 here)" in said


def test_a_checkpoint_that_is_none_or_fits_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"init_from .*old: not a checkpoint of this model"):
        read_initial(str(tmp_path / "old"), NamedTask())
    written(tmp_path / "old", NamedTask())
    with pytest.raises(UserError, match="none of its weights fits"):
        begun(tmp_path / "old", NamedTask(units=9, class_names=("x", "y")))
    (tmp_path / "old" / "model.keras").write_bytes(b"PK damaged")
    with pytest.raises(UserError, match=r"model.keras: cannot be loaded"):
        read_initial(str(tmp_path / "old"), NamedTask())
