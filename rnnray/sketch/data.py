"""What a sketch classifier trains on, as Ray Data."""

from functools import partial

import numpy as np
import numpy.typing as npt

from rnnray.progress import say
from rnnray.sketch import table
from rnnray.sketch.drawings import Drawings
from rnnray.training.data import TrainingData


def training_data(drawings: Drawings, *, balanced: bool = False) -> TrainingData:
    """The train and the validation split of a source, and a count of the first.

    Args:
        drawings: an opened source.
        balanced: the training rows have weights, `balancing_weights` of their classes; it takes
            one more pass over them.

    Raises:
        UserError: a split is missing, or the drawings cannot be read.
    """
    training, validation = drawings.dataset("train"), drawings.dataset("validation")
    if balanced:
        weights = balancing_weights(_class_counts(drawings))
        training = training.map_batches(
            partial(table.with_weights, class_weights=weights),
            batch_format="pyarrow",
            batch_size=None,
        )
    return TrainingData(training, validation, drawings.count("train"))


def balancing_weights(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Weights by which every class that has drawings counts the same.

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


def _class_counts(drawings: Drawings) -> npt.NDArray[np.int64]:
    say("counting the training drawings of each class")
    counts = np.zeros(len(drawings.class_names), np.int64)
    classes = drawings.dataset("train").select_columns(["class_index"])
    for batch in classes.iter_batches(batch_size=None, batch_format="numpy"):
        counts += np.bincount(batch["class_index"], minlength=len(counts))
    return counts
