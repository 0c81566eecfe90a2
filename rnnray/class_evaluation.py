"""Evaluation of a classifier: every row counts once, on any number of workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.training.task import found

if TYPE_CHECKING:
    from rnnray.training.driver import TrainedRun


@dataclass(frozen=True)
class Evaluation:
    """Means over all rows, and the confusions between classes."""

    loss: float
    """Cross-entropy, nats a row."""
    top1: float
    """Share of rows whose most probable class is right."""
    top5: float
    """Share of rows whose class is among the five most probable."""
    count: int
    """Number of rows."""
    confusion: npt.NDArray[np.int64]
    """[classes, classes], counts; rows are true classes, columns predicted ones."""
    sums: npt.NDArray[np.float64]
    """[classes, 3], sums of loss, top-1 and top-5 over the rows of each true class."""
    cropped: int
    """Number of rows that are longer than the classifier reads."""

    def of_classes(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the metrics of each class, in the order of the class list.

        Each has `class`, `count` (rows), `loss`, `top1`, `top5` (means over them, null without
        any), `precision` (share of the rows classified as the class that are of it, null without
        any) and `taken_for` (the class that its rows are most often mistaken for, or null).
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


def judged(rows: pa.Table, logarithms: npt.NDArray[np.float32], cropped: Any) -> pa.Table:
    """Return the columns that `evaluated` adds up.

    Args:
        rows: a table with `class_index`.
        logarithms: logarithms of the probabilities, float32 [rows, classes].
        cropped: whether each row is longer than the classifier reads, bool [rows].
    """
    true = rows["class_index"].to_numpy()
    top1, top5 = np.asarray(found(true, logarithms)).T
    columns = {
        "true": true,
        "predicted": logarithms.argmax(1).astype(np.int64),
        "loss": -logarithms[np.arange(len(true)), true].astype(np.float64),
        "top1": top1,
        "top5": top5,
        "cropped": cropped,
    }
    return pa.table(columns)


def evaluated(
    judgements: ray.data.Dataset,
    classes: int,
    *,
    unit: str,
    nothing: str,
    model: str,
) -> Evaluation:
    """Add up what `judged` says of each row.

    Args:
        judgements: tables of `judged`.
        classes: number of classes.
        unit: name of the rows.
        nothing: error if there is no row.
        model: checkpoint and split, for the error of a loss that is not finite.

    Raises:
        UserError: there is no row, or the loss is not finite.
    """
    confusion, sums = np.zeros((classes, classes), np.int64), np.zeros((classes, 3))
    cropped, due = 0, Every()
    for batch in judgements.iter_batches(batch_size=None, batch_format="numpy"):
        np.add.at(confusion, (batch["true"], batch["predicted"]), 1)
        columns = [batch[name] for name in ("loss", "top1", "top5")]
        np.add.at(sums, batch["true"], np.stack(columns, axis=1))
        cropped += int(batch["cropped"].sum())
        if due():
            say(f"evaluated {confusion.sum():,} {unit}")
    count = int(confusion.sum())
    if count == 0:
        raise UserError(nothing)
    loss, top1, top5 = (sums.sum(0) / count).tolist()
    if not np.isfinite(loss):
        raise UserError(f"{model} is not finite ({loss})")
    return Evaluation(loss, top1, top5, count, confusion, sums, cropped)


def summary(run: "TrainedRun", evaluation: Evaluation, split: str, plots: str) -> dict[str, Any]:
    """Print how a classifier's training ended; return it for the job's last line.

    Args:
        run: the run.
        evaluation: evaluation of its best checkpoint.
        split: the split that was evaluated.
        plots: path or URI of the folder of plots.
    """
    say(
        f"{split}: loss {evaluation.loss:.4f}  "
        f"top1 {evaluation.top1:.1%}  top5 {evaluation.top5:.1%}"
    )
    say(f"checkpoint {run.best}")
    say(f"plots      {plots}")
    return {
        "top1": evaluation.top1,
        "top5": evaluation.top5,
        "loss": evaluation.loss,
        "count": evaluation.count,
        "split": split,
        "epochs": len(run.history),
        "checkpoint": run.best,
        "last_checkpoint": run.last,
        "pictures": plots,
    }
