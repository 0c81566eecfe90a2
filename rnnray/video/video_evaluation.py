"""Evaluation of a video classifier: every video of a split counts once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray import reach
from rnnray.batch_jobs import mapped_by
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.training.task import found
from rnnray.video.data.videos import Videos
from rnnray.video.video_classifier import ClassifyingActor, read_checkpoint


@dataclass(frozen=True)
class Evaluation:
    """Means over all videos, and the confusions between classes."""

    loss: float
    """Cross-entropy, nats a video."""
    top1: float
    """Share of videos whose most probable class is right."""
    top5: float
    """Share of videos whose class is among the five most probable."""
    count: int
    """Number of videos."""
    confusion: npt.NDArray[np.int64]
    """[classes, classes], counts; rows are true classes, columns predicted ones."""


class _Judge(ClassifyingActor):
    """Computes the losses and hits of a batch's videos."""

    def __call__(self, clips: pa.Table) -> pa.Table:
        scores = self.classifier.log_probabilities(clips)
        true = clips["class_index"].to_numpy()
        top1, top5 = np.asarray(found(true, scores)).T
        return pa.table(
            {
                "true": true,
                "predicted": scores.argmax(1).astype(np.int64),
                "loss": -scores[np.arange(len(true)), true].astype(np.float64),
                "top1": top1,
                "top5": top5,
            }
        )


def evaluate(
    checkpoint: str,
    videos: Videos,
    split: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on a split of a source.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        videos: an opened source with the checkpoint's classes.
        split: train, validation, test or all.
        workers: number of classifying processes; None: see `batch_jobs.mapped_by`.
        gpu: see there.

    Raises:
        UserError: not a checkpoint, a file that cannot be used, no videos, or a loss that is not
            finite.
    """
    config, class_names = read_checkpoint(checkpoint)
    judged = mapped_by(
        videos.dataset(split, config, class_names),
        _Judge,
        {"checkpoint": checkpoint},
        workers,
        gpu=gpu,
        **reach.reading(checkpoint, "the checkpoint's files"),
    )
    confusion = np.zeros((len(class_names), len(class_names)), np.int64)
    sums, progress = np.zeros(3), Every()
    for batch in judged.iter_batches(batch_size=None, batch_format="numpy"):
        np.add.at(confusion, (batch["true"], batch["predicted"]), 1)
        sums += [batch[name].sum() for name in ("loss", "top1", "top5")]
        if progress():
            say(f"evaluated {confusion.sum():,} videos")
    count = int(confusion.sum())
    if count == 0:
        raise UserError(f"{videos.data}: no video of the {split} split can be used")
    loss, top1, top5 = (sums / count).tolist()
    if not np.isfinite(loss):
        raise UserError(f"{checkpoint}: the loss on the {split} split is not finite ({loss})")
    return Evaluation(loss, top1, top5, count, confusion)
