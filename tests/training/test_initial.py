"""A new run from trained weights: what is taken, what is named, what is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lazily import keras
from toy import ToyTask

from rnnray.errors import UserError
from rnnray.training import checkpoints
from rnnray.training.checkpoints import Position
from rnnray.training.initial import read_initial


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


def trained(folder: Path, task: NamedTask) -> list[Any]:
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
    theirs = trained(tmp_path / "old", NamedTask())
    _, ours, said = begun(tmp_path / "old", NamedTask())
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert said == f"begins with 4 of 4 arrays of weights of {tmp_path}/old"


@pytest.mark.parametrize("names", [("cow", "dog", "ant"), ("cow", "dog", "ant", "elk")])
def test_outputs_go_by_the_names_of_classes_and_not_by_their_number(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    theirs = trained(tmp_path / "old", NamedTask())
    fresh, ours, said = begun(tmp_path / "old", NamedTask(class_names=names))
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_array_equal(mine, other)
    for mine, other, new in zip(ours[2:], theirs[2:], fresh[2:], strict=True):
        np.testing.assert_array_equal(mine[..., [0, 2]], other[..., [2, 0]])
        np.testing.assert_array_equal(mine[..., 1], new[..., 1])
    assert f"outputs of 2 of {len(names)} classes, by their names" in said


def test_what_does_not_fit_is_named_and_begins_anew(tmp_path: Path) -> None:
    theirs = trained(tmp_path / "old", NamedTask())
    fresh, ours, said = begun(tmp_path / "old", NamedTask(units=9))
    for mine, new in zip(ours[:3], fresh[:3], strict=True):
        np.testing.assert_array_equal(mine, new)
    np.testing.assert_array_equal(ours[3], theirs[3])  # the outputs' bias
    assert "begins with 1 of 4 arrays" in said
    assert "dense/vars/0 (4x8, 4x9 here)" in said


def test_a_checkpoint_that_is_none_or_fits_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--init-from .*old: not a checkpoint of this model"):
        read_initial(str(tmp_path / "old"), NamedTask())
    trained(tmp_path / "old", NamedTask())
    with pytest.raises(UserError, match="none of its weights fits"):
        begun(tmp_path / "old", NamedTask(units=9, class_names=("x", "y")))
    (tmp_path / "old" / "model.keras").write_bytes(b"PK damaged")
    with pytest.raises(UserError, match=r"model.keras: cannot be loaded"):
        read_initial(str(tmp_path / "old"), NamedTask())
