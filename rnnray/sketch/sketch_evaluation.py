"""Evaluation of a sketch classifier: every drawing counts once, on any number of workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from rnnray import cluster, reach
from rnnray.errors import UserError
from rnnray.packaged import CLASSIFIER
from rnnray.progress import Every, say
from rnnray.sketch.classifier import ClassifyingActor, read_checkpoint
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import check_same_classes
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.sketch_config import SketchModelConfig
from rnnray.training.task import found

BATCH_ROWS = 1024
_FEW = 50  # number of drawings below which a share says little


@dataclass(frozen=True)
class Evaluation:
    """Means over all drawings, and the confusions between classes."""

    loss: float
    """Cross-entropy, nats a drawing."""
    top1: float
    """Share of drawings whose most probable class is right."""
    top5: float
    """Share of drawings whose class is among the five most probable."""
    count: int
    """Number of drawings."""
    confusion: npt.NDArray[np.int64]
    """[classes, classes], counts; rows are true classes, columns predicted ones."""
    sums: npt.NDArray[np.float64]
    """[classes, 3], sums of loss, top-1 and top-5 over the drawings of each true class."""
    cropped: int
    """Number of drawings that are longer than the classifier reads."""

    def of_classes(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the metrics of each class, in the order of the class list.

        Each has `class`, `count` (drawings), `loss`, `top1`, `top5` (means over them, null without
        any), `precision` (share of the drawings classified as the class that show it, null without
        any) and `taken_for` (the class that its drawings are most often mistaken for, or null).
        """
        counts, taken = self.confusion.sum(1), self.confusion.sum(0)
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        rows = []
        for index, name in enumerate(class_names):
            loss, top1, top5 = (
                float(value) / int(counts[index]) if counts[index] else None
                for value in self.sums[index]
            )
            rows.append(
                {
                    "class": name,
                    "count": int(counts[index]),
                    "loss": loss,
                    "top1": top1,
                    "top5": top5,
                    "precision": int(self.confusion[index, index]) / int(taken[index])
                    if taken[index]
                    else None,
                    "taken_for": class_names[wrong[index].argmax()] if wrong[index].any() else None,
                }
            )
        return rows


def say_cropped(
    cropped: int, count: int, model: SketchModelConfig, which: str = "drawings"
) -> None:
    """Print how many of `count` drawings are longer than the classifier reads, if any are.

    Args:
        cropped: number of these drawings.
        count: number of all drawings.
        model: configuration of the classifier.
        which: name of the drawings.
    """
    if cropped:
        lost = {"crop": "the rest of each is cropped", "simplify": "each is simplified to as many"}
        say(
            f"{100 * cropped / count:.2g} % of the {which} are longer than {model.max_points} "
            f"points ({cropped:,} of {count:,}); {lost[model.long_drawings]} (--model.max-points)"
        )


class _Judge(ClassifyingActor):
    """Computes the losses and hits of a batch's drawings."""

    def __call__(self, drawings: pa.Table) -> pa.Table:
        scores = self.classifier.log_probabilities(drawings)
        true = drawings["class_index"].to_numpy()
        top1, top5 = np.asarray(found(true, scores)).T
        return pa.table(
            {
                "true": true,
                "predicted": scores.argmax(1).astype(np.int64),
                "loss": -scores[np.arange(len(true)), true].astype(np.float64),
                "top1": top1,
                "top5": top5,
                "points": sketch_table.lengths_of(drawings),
            }
        )


def judge_with(
    dataset: ray.data.Dataset,
    actor: type,
    checkpoint: str,
    workers: int | None,
    *,
    gpu: bool | None = None,
    mirror: bool = False,
) -> Any:
    """Map an actor class that holds a classifier over a dataset's blocks, in order.

    Args:
        dataset: sketch tables.
        actor: class whose constructor takes `checkpoint` and `actors`, the number of actors.
        checkpoint: path or URI of a checkpoint folder.
        workers: number of actors; None for as many as the data keep busy. Since each takes seconds
            to start, that is at most one a GPU, or without GPUs at most 8, with a CPU left for
            reading.
        gpu: whether each actor gets a GPU; None: if the cluster has any.

    Raises:
        UserError: no node that runs tasks reaches the checkpoint.
    """
    gpus = cluster.has_gpus() if gpu is None else gpu
    fewest = workers or 1
    if workers is None:
        cpus = int(cluster.most("CPU"))
        workers = int(cluster.most("GPU")) if gpus else min(cpus - 1, 8)
        workers = max(1, workers)
    resources = cluster.worker_resources(workers, gpus, None)
    return dataset.map_batches(
        actor,
        fn_constructor_kwargs={"checkpoint": checkpoint, "actors": workers, "mirror": mirror},
        batch_format="pyarrow",
        batch_size=BATCH_ROWS,
        compute=ray.data.ActorPoolStrategy(min_size=fewest, max_size=workers),
        num_cpus=resources["CPU"],
        num_gpus=resources.get("GPU"),
        **({} if checkpoint == CLASSIFIER else reach.reading(checkpoint, "the checkpoint's files")),
    )


def evaluate(
    checkpoint: str,
    drawings: Drawings,
    split: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
    mirror: bool = False,
) -> Evaluation:
    """Evaluate a checkpoint on a split of a source.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        drawings: an opened source with the checkpoint's classes.
        split: train, validation, test or all.
        workers: number of classifying processes, on which the result does not depend.
        gpu: see `judge_with`.
        mirror: see `SketchClassifier`.

    Raises:
        UserError: not a checkpoint, other classes, bad data, no such split, or no drawings.
    """
    config, class_names = read_checkpoint(checkpoint)
    check_same_classes(drawings, class_names, f"the checkpoint {checkpoint}")
    if split != "all" and not drawings.splits.get(split):
        raise UserError(f"{drawings.data}: no {split} split; --split all evaluates every drawing")
    classes = len(class_names)
    confusion = np.zeros((classes, classes), np.int64)
    sums = np.zeros((classes, 3))
    cropped = 0
    progress = Every()
    rows = drawings.dataset(split)
    judged = judge_with(rows, _Judge, checkpoint, workers, gpu=gpu, mirror=mirror)
    for batch in judged.iter_batches(batch_size=None, batch_format="numpy"):
        np.add.at(confusion, (batch["true"], batch["predicted"]), 1)
        columns = [batch[name] for name in ("loss", "top1", "top5")]
        np.add.at(sums, batch["true"], np.stack(columns, axis=1))
        cropped += int((batch["points"] > config.model.max_points).sum())
        if progress():
            say(f"evaluated {confusion.sum():,} drawings")
    count = int(confusion.sum())
    if count == 0:
        raise UserError(
            f"{drawings.data}: no drawings in the {split} split; --split all evaluates every "
            "drawing"
        )
    if count < _FEW and split != "all":
        say(f"only {count} drawings in the {split} split; --split all evaluates every drawing")
    say_cropped(cropped, count, config.model)
    loss, top1, top5 = (sums.sum(0) / count).tolist()
    if not np.isfinite(loss):
        raise UserError(f"{checkpoint}: the loss on the {split} split is not finite ({loss})")
    return Evaluation(loss, top1, top5, count, confusion, sums, cropped)
