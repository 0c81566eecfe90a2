"""How good a checkpoint is: every drawing counted exactly once, by as many workers as there are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from rnnray import cluster, reach
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.sketch.classifier import ClassifyingActor, read_checkpoint
from rnnray.sketch.datasets import check_same_classes
from rnnray.sketch.drawings import Drawings

BATCH_ROWS = 1024
TOP = 5


@dataclass(frozen=True)
class Evaluation:
    """Means over all drawings, and which classes were taken for which."""

    loss: float
    """Cross-entropy, nats a drawing."""
    top1: float
    """Share of drawings whose first class is right."""
    top5: float
    """Share of drawings whose class is among the first five."""
    count: int
    """Drawings."""
    confusion: npt.NDArray[np.int64]
    """[classes, classes], rows are true classes, columns predicted ones."""


class _Judge(ClassifyingActor):
    """Scores each drawing of a batch."""

    def __call__(self, drawings: pa.Table) -> pa.Table:
        from rnnray.training.metrics import NEVER  # noqa: PLC0415  (imports Keras)

        scores = self.classifier.log_probabilities(drawings)
        true = drawings["class_index"].to_numpy()
        right = scores[np.arange(len(true)), true]
        return pa.table(
            {
                "true": true,
                "predicted": scores.argmax(1).astype(np.int64),
                "loss": -right.astype(np.float64),
                # As `rivals` counts in training: ties and NaN never help.
                "before": np.where(np.isnan(right), NEVER, (~(scores < right[:, None])).sum(1) - 1),
            }
        )


def judge_with(
    dataset: ray.data.Dataset,
    actor: type,
    checkpoint: str,
    workers: int | None,
    *,
    gpu: bool | None = None,
) -> Any:
    """Map an actor class that holds a classifier over a dataset's blocks, in order.

    Args:
        dataset: sketch tables.
        actor: its constructor takes `checkpoint`, and `actors`, their number.
        checkpoint: path or URI of a checkpoint folder.
        workers: actors; None for as many as the data keep busy, at most one a GPU, or as many as
            leave a CPU for reading, of all nodes that the cluster may start: each takes seconds.
        gpu: a GPU for each actor; None for one each where the cluster has any.

    Raises:
        UserError: the checkpoint lies where no node that runs tasks reaches it.
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
        fn_constructor_kwargs={"checkpoint": checkpoint, "actors": workers},
        batch_format="pyarrow",
        batch_size=BATCH_ROWS,
        compute=ray.data.ActorPoolStrategy(min_size=fewest, max_size=workers),
        num_cpus=resources["CPU"],
        num_gpus=resources.get("GPU"),
        **reach.reading(checkpoint, "the checkpoint's files"),
    )


def evaluate(
    checkpoint: str,
    drawings: Drawings,
    split: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on a split of a source.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        drawings: with the same classes as the checkpoint's.
        split: train, validation, test or all.
        workers: processes that classify; the result does not depend on their number.
        gpu: see `judge_with`.

    Raises:
        UserError: not a checkpoint, other classes, bad data, or no drawings.
    """
    _, class_names = read_checkpoint(checkpoint)
    check_same_classes(drawings, class_names, f"the checkpoint {checkpoint}")
    classes = len(class_names)
    confusion = np.zeros((classes, classes), np.int64)
    loss = 0.0
    within = np.zeros(2, np.int64)
    progress = Every()
    judged = judge_with(drawings.dataset(split), _Judge, checkpoint, workers, gpu=gpu)
    for batch in judged.iter_batches(batch_size=None, batch_format="numpy"):
        np.add.at(confusion, (batch["true"], batch["predicted"]), 1)
        loss += float(batch["loss"].sum())
        within += [int((batch["before"] < k).sum()) for k in (1, TOP)]
        if progress():
            say(f"evaluated {confusion.sum():,} drawings")
    count = int(confusion.sum())
    if count == 0:
        raise UserError(f"{drawings.data}: no drawings in the {split} split")
    if not np.isfinite(loss):
        raise UserError(f"{checkpoint}: the loss on the {split} split is not finite ({loss})")
    return Evaluation(loss / count, within[0] / count, within[1] / count, count, confusion)
