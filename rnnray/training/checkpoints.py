"""Checkpoints: a folder that stands alone.

    model.keras      the model; for Keras alone, first import the module that its error names
    optimizer.npz    the optimizer's variables, in its own order
    position.json    where the run is: epoch, step, sums of the epoch so far, history
    README.md        the model card, if the task has one, with the scores of the last epoch
    config.yaml ...  whatever the task adds (`Task.checkpoint_files`)

Nothing in it is pickled, and loading runs no code from it.
"""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnray.errors import UserError
from rnnray.training import model_card
from rnnray.training.faults.divergence import not_finite

MODEL, OPTIMIZER, POSITION = "model.keras", "optimizer.npz", "position.json"

# What Keras and NumPy raise of files that are damaged, or that a stranger made.
NOT_OURS = (
    *(ValueError, TypeError, OSError, KeyError, AttributeError, ImportError, RecursionError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass
class Position:
    """Where a run is."""

    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps of the next epoch that are done."""
    sums: list[float] = field(default_factory=list)
    """Sums of rows, loss and metrics over those steps."""
    skipped: int = 0
    """Steps among them that were skipped, as they were not finite."""
    dropout_masks: list[int] = field(default_factory=list)
    """Masks that each dropout layer has drawn in those steps."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The metrics of each epoch that is done."""


def save(
    folder: Path, model: Any, optimizer: Any, position: Position, files: Mapping[str, str]
) -> None:
    """Write a checkpoint into an empty folder.

    Raises:
        UserError: a weight or a variable of the optimizer is not finite.
    """
    name = not_finite([*model.variables, *optimizer.variables])
    if name is not None:
        raise UserError(f"{name} is not finite: such a checkpoint is not written")
    model.save(folder / MODEL)
    arrays = {f"{index:04d}": np.asarray(v) for index, v in enumerate(optimizer.variables)}
    np.savez(folder / OPTIMIZER, **arrays)  # type: ignore[arg-type]
    card = files.get(model_card.FILE)
    if card is not None:
        last = position.history[-1] if position.history else {}
        scored = model_card.with_scores(card, position.epoch, position.step, last)
        files = {**files, model_card.FILE: scored}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / POSITION).write_text(json.dumps(dataclasses.asdict(position), indent=1))


def restore(folder: Path, model: Any, optimizer: Any) -> None:
    """Load a checkpoint into a model and an optimizer that were built like the saved ones.

    Raises:
        UserError: the folder is not such a checkpoint.
    """
    check(folder)
    file = folder / MODEL
    try:
        model.load_weights(file)
        file = folder / OPTIMIZER
        with np.load(file, allow_pickle=False) as arrays:
            for variable, name in zip(optimizer.variables, sorted(arrays), strict=True):
                # The configuration's holds: population based training changes it on the way.
                if variable.name != "learning_rate":
                    variable.assign(arrays[name])
    except NOT_OURS as error:
        raise _cannot_be_loaded(file, error) from error


def read_position(folder: Path) -> Position:
    """Where the run of a checkpoint is.

    Raises:
        UserError: its file is not one that `save` wrote.
    """
    file = folder / POSITION
    try:
        return position_from(file.read_bytes())
    except NOT_OURS as error:
        raise _cannot_be_loaded(file, error) from error


def position_from(content: bytes) -> Position:
    """The position in a file's content.

    Raises:
        ValueError: it is no JSON.
        TypeError: it is another JSON.
    """
    position = Position(**json.loads(content))
    for name, value in dataclasses.asdict(Position()).items():
        if type(getattr(position, name)) is not type(value):
            raise TypeError(f"{name} is not {type(value).__name__}")
    return position


def check(folder: Path) -> None:
    """Raise `UserError` unless the folder looks like a checkpoint."""
    if not folder.exists():
        raise UserError(f"{folder}: no such checkpoint folder")
    missing = [name for name in (MODEL, POSITION) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: not a checkpoint of rnnray, it has no {' and no '.join(missing)}"
        )


def load_model(folder: Path) -> Any:
    """The Keras model of a checkpoint, in Keras's safe mode.

    Raises:
        UserError: the folder is not a checkpoint, its model cannot be loaded, or it diverged.
    """
    import keras  # noqa: PLC0415

    check(folder)
    try:
        model = keras.saving.load_model(folder / MODEL, compile=False)
    except NOT_OURS as error:
        raise _cannot_be_loaded(folder / MODEL, error) from error
    name = not_finite(model.variables)
    if name is not None:
        raise UserError(
            f"{folder / MODEL}: its training diverged ({name} is not finite); "
            "take an earlier checkpoint"
        )
    return model


def _cannot_be_loaded(file: Path, error: BaseException) -> UserError:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"{file}: cannot be loaded ({text[0][:300]})")
