"""Checkpoints: a folder that stands alone.

    model.keras      the model, loadable by Keras alone where it has no layers of ours
    optimizer.npz    the optimizer's variables, in its own order
    position.json    where the run is: epoch, step, sums of the epoch so far, history
    config.yaml ...  whatever the task adds (`Task.checkpoint_files`)

Nothing in it is pickled, and loading runs no code from it.
"""

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnray.errors import UserError

MODEL, OPTIMIZER, POSITION = "model.keras", "optimizer.npz", "position.json"


@dataclass
class Position:
    """Where a run is."""

    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps of the next epoch that are done."""
    sums: list[float] = field(default_factory=list)
    """Sums of rows, loss and metrics over those steps."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The metrics of each epoch that is done."""


def save(
    folder: Path, model: Any, optimizer: Any, position: Position, files: Mapping[str, str]
) -> None:
    """Write a checkpoint into an empty folder."""
    model.save(folder / MODEL)
    arrays = {f"{index:04d}": np.asarray(v) for index, v in enumerate(optimizer.variables)}
    np.savez(folder / OPTIMIZER, **arrays)  # type: ignore[arg-type]
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / POSITION).write_text(json.dumps(dataclasses.asdict(position), indent=1))


def restore(folder: Path, model: Any, optimizer: Any) -> None:
    """Load a checkpoint into a model and an optimizer that were built like the saved ones.

    Raises:
        UserError: the folder is not such a checkpoint.
    """
    check(folder)
    model.load_weights(folder / MODEL)
    with np.load(folder / OPTIMIZER, allow_pickle=False) as arrays:
        for variable, name in zip(optimizer.variables, sorted(arrays), strict=True):
            # The configuration's holds: population based training changes it on the way.
            if variable.name != "learning_rate":
                variable.assign(arrays[name])


def read_position(folder: Path) -> Position:
    """Where the run of a checkpoint is."""
    return Position(**json.loads((folder / POSITION).read_text()))


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
        UserError: the folder is not a checkpoint, or its model cannot be loaded.
    """
    import keras  # noqa: PLC0415

    check(folder)
    try:
        return keras.saving.load_model(folder / MODEL, compile=False)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{folder / MODEL}: cannot be loaded ({text[0][:300]})") from error
