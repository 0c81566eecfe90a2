"""What a sketch classifier trains on: the drawings of a source, read once and mixed."""

from pathlib import PurePosixPath
from typing import Any

import ray

from rnnray import storage
from rnnray.errors import UserError
from rnnray.run_folder import condensed
from rnnray.sketch.drawings import DemoPart, Drawings, FilePart, Part
from rnnray.training.config import TrainingConfig
from rnnray.training.data import TrainingData, mixed, read


def training_data(drawings: Drawings, config: TrainingConfig) -> TrainingData:
    """Read the train and the validation split of a source.

    About 0.6 KB a drawing go into Ray's object store, and to disk where memory ends.

    Raises:
        UserError: a split is missing or empty, or the drawings cannot be read.
    """
    validation = read(drawings.dataset("validation"), "validation drawings")
    training = read(drawings.dataset("train"), "training drawings")
    for split, blocks in (("train", training), ("validation", validation)):
        if not blocks.rows:
            raise UserError(
                f"{drawings.data}: no drawings in the {split} split; "
                "--split 80:10:10 divides drawings that have no splits"
            )
    if config.shuffle_rows:
        training = mixed(training, config.seed, "training drawings")
    return TrainingData(training, validation, identity(drawings, training.rows))


def has_drawings(drawings: Drawings, split: str) -> bool:
    """Whether a split has any; reads no further than to the first."""
    parts = drawings.splits.get(split, ())
    if not parts:
        return False
    # In a task, for reading may import TensorFlow.
    first = ray.remote(lambda parts: any(map(_has_drawings, parts)))
    return bool(ray.get(first.remote(parts)))


def _has_drawings(part: Part) -> bool:
    if isinstance(part, FilePart) and (part.keep is not None or part.share is not None):
        return any(map(len, part.tables(origin=False, on_bad=_pass_over)))
    return part.count() > 0


def _pass_over(_: UserError) -> None:
    """What reads all drawings will tell of the bad ones."""


def identity(drawings: Drawings, training_rows: int) -> dict[str, Any]:
    """What a source is: its classes, number of training drawings, and files with sizes in bytes."""
    parts = [part for part in drawings.splits["all"] if not isinstance(part, DemoPart)]
    sizes = parts[0].filesystem.get_file_info([part.path for part in parts]) if parts else []
    root = storage.open_uri(drawings.data)[1] if parts else ""
    files = {}
    for info in sizes:
        path = PurePosixPath(info.path)
        below = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        files[path.name if below == "." else below] = info.size
    return {
        "classes": list(drawings.class_names),
        "training_drawings": training_rows,
        "file_bytes": condensed(files),
    }
