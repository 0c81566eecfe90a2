"""Loss and metrics of a model on the validation data, which all workers share."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.training.batches import Feed, epoch_batches
from rnnray.training.step import make_evaluation_step
from rnnray.training.strategy import AddUp
from rnnray.training.task import Task
from rnnray.training.worker import Worker, raise_failure


class Validation:
    """A pass over a worker's validation rows, added up with those of the other workers.

    Args:
        task: the problem.
        worker: this worker.
        model: its model.
        rows: least number of rows of a batch.
        add_up: adds up vectors over the workers: the sums of a step and one more number.
    """

    def __init__(self, task: Task, worker: Worker, model: Any, rows: int, add_up: AddUp) -> None:
        self._task, self._worker, self._add_up = task, worker, add_up
        self._rows = max(task.evaluation_rows, rows)
        self._step = make_evaluation_step(model, task)

    def __call__(self) -> dict[str, float]:
        """Return the loss, the metrics and the count, named `validation_...`; a barrier.

        Raises:
            UserError: the data are bad.
            PeerStopped: another worker's data are bad.
        """
        worker = self._worker
        shares = partial(
            epoch_batches,
            worker.validation,
            batch_rows=self._rows * worker.count,
            rank=worker.rank,
            workers=worker.count,
        )
        sums = np.zeros(3 + len(self._task.metric_names))
        with Feed(self._task, shares, padded_rows=self._rows, pulse=worker.pulse) as feed:
            while (batch := feed.take()) is not None:
                sums[:-1] += self._step(batch.inputs, batch.targets, batch.weights).numpy()
        # The others hear of an error before it is raised: they would wait for our sums forever.
        sums[-1] = feed.error is not None
        totals = self._add_up(sums)
        raise_failure(feed.error, totals[-1])
        if not totals[0]:
            raise UserError(
                f"no validation {self._task.row_unit}, so no checkpoint is the best one"
            )
        metrics = {f"validation_{name}": mean for name, mean in means(self._task, totals).items()}
        return metrics | {"validation_count": totals[0]}


def means(task: Task, totals: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the mean loss and metrics of sums of weights, loss and metrics, in this order."""
    names = ("loss", *task.metric_names)
    values = totals[1 : 1 + len(names)] / max(totals[0], 1)
    return dict(zip(names, values.tolist(), strict=True))
