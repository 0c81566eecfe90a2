"""The drawings that a sketch classifier trains on, read once and mixed."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from rnnray import storage
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.run_folder import condensed
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.drawings import DemoPart, Drawings, FileGroup, FilePart, Part
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.training.rows import Blocks, TrainingData, mixed, read


def training_data(drawings: Drawings, config: SketchConfig) -> TrainingData:
    """Read the train and the validation split of a source.

    Each drawing takes about 0.6 KB of Ray's object store, and of the disk when memory is full. With
    balanced class weights, the training rows get `balancing_weights` of their classes, which takes
    one more pass over them.

    Args:
        drawings: an opened source.
        config: seed, shuffling and class weights.

    Raises:
        UserError: a split is missing or empty, or the drawings cannot be read.
    """
    validation = read(drawings.dataset("validation"), "validation drawings")
    training = read(drawings.dataset("train"), "training drawings")
    for split, blocks in (("train", training), ("validation", validation)):
        if not blocks.rows:
            raise UserError(
                f"{drawings.data}: no drawings in the {split} split; "
                "--split 80:10:10 divides three or more different drawings that have no splits"
            )
    if config.class_weights == "balanced":
        training = _balanced(training, len(drawings.class_names))
    if config.shuffle_rows:
        training = mixed(training, config.seed, "training drawings")
    else:
        _say_if_sorted(training, len(drawings.class_names))
    return TrainingData(training, validation, identity(drawings, training.rows))


def _say_if_sorted(blocks: Blocks, classes: int) -> None:
    """Print a warning if drawings that stay in the order of the files are sorted by class."""
    counts = np.array(blocks.of_each(lambda rows: _class_counts(rows, classes)))
    rows = counts.sum(axis=1, keepdims=True)
    in_a_sample = (1 - (1 - counts.sum(axis=0) / counts.sum()) ** rows).sum(axis=1)
    sorted_blocks = int(((counts > 0).sum(axis=1) < in_a_sample / 2).sum())
    if sorted_blocks:
        say(
            f"the drawings are sorted by class: {sorted_blocks} of {len(counts)} blocks of them "
            "have less than half of the classes of a random sample; leave out --shuffle-rows 0 to "
            "mix them"
        )


def _balanced(blocks: Blocks, classes: int) -> Blocks:
    """Return the same drawings with `balancing_weights` of their classes."""
    counts = blocks.of_each(lambda rows: _class_counts(rows, classes))
    weights = balancing_weights(np.sum(counts, axis=0))
    return blocks.mapped(lambda rows: sketch_table.with_weights(rows, class_weights=weights))


def _class_counts(rows: pa.Table, classes: int) -> npt.NDArray[np.int64]:
    return np.bincount(rows["class_index"].to_numpy(), minlength=classes).astype(np.int64)


def balancing_weights(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return weights by which all classes that have drawings count the same.

    Args:
        counts: int64 [classes], drawings of each class.

    Returns:
        float32 [classes]; their mean over all drawings is 1.
    """
    present = max(np.count_nonzero(counts), 1)
    weights: npt.NDArray[np.float32] = (counts.sum() / (present * np.maximum(counts, 1))).astype(
        np.float32
    )
    return weights


def has_drawings(drawings: Drawings, split: str) -> bool:
    """Return whether a split has drawings; reads only up to the first."""
    parts = drawings.splits.get(split, ())
    if not parts:
        return False
    # In a task, because reading may import TensorFlow.
    first = ray.remote(lambda parts: any(map(_has_drawings, parts)))
    return bool(ray.get(first.remote(parts)))


def _has_drawings(part: Part) -> bool:
    if isinstance(part, FileGroup):
        return any(map(_has_drawings, part.parts))
    if isinstance(part, FilePart) and part.scan is None and (part.keep or part.share):
        return any(map(len, part.tables(origin=False, on_bad=_pass_over)))
    return part.count() > 0


def _pass_over(_: UserError) -> None:
    """Ignore a bad drawing; the reader of all drawings will report it."""


def identity(drawings: Drawings, training_rows: int) -> dict[str, Any]:
    """Return a source's classes, number of training drawings, and files with sizes in bytes."""
    parts = [
        each
        for part in drawings.splits["all"]
        for each in (part.parts if isinstance(part, FileGroup) else (part,))
        if not isinstance(each, DemoPart)
    ]
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
