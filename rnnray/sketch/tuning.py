"""What a sweep of the sketch classifier varies, and on what."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import ray.data

from rnnray.sketch.config import SketchConfig
from rnnray.sketch.drawings import Drawings
from rnnray.sketch.task import SketchTask
from rnnray.training.driver import BLOCKS_AHEAD
from rnnray.tuning.trial import TrialData

SPACE = {
    "optimizer.learning_rate": {"low": 3.0e-4, "high": 1.0e-2, "log": True},
    "model.units": [64, 128, 256],
    "model.layers": {"low": 1, "high": 3},
    "model.filters": [[32, 64, 128], [48, 64, 96], [64, 128, 192]],
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.bidirectional": [False, True],
}
"""The default search space."""


@dataclass(frozen=True)
class SketchProblem:
    """The classifier's configurations; implements `rnnray.tuning.trial.Problem`."""

    config: SketchConfig
    class_names: tuple[str, ...]
    training: ray.data.Dataset
    """Sketch tables, read once into Ray's object store, where all trials find them."""
    validation: ray.data.Dataset
    """Likewise."""
    training_rows: int
    """Drawings of `training`."""

    def task(self, config: SketchConfig) -> SketchTask:
        """The task of a trial."""
        return SketchTask(config, self.class_names)

    def data(self, config: SketchConfig) -> TrialData:
        """A trial's drawings: the same for all."""
        return TrialData(
            partial(_tables, self.training), partial(_tables, self.validation), self.training_rows
        )


def problem(config: SketchConfig, drawings: Drawings) -> SketchProblem:
    """Read a source once for all trials.

    Raises:
        UserError: the source has no drawings to train on or to validate with, or bad ones.
    """
    drawings.parts("train"), drawings.parts("validation")
    training = drawings.dataset("train").materialize()
    validation = drawings.dataset("validation").materialize()
    return SketchProblem(config, drawings.class_names, training, validation, training.count())


def _tables(dataset: ray.data.Dataset) -> Iterable[pa.Table]:
    tables: Iterable[pa.Table] = dataset.iter_batches(
        batch_size=None, batch_format="pyarrow", prefetch_batches=BLOCKS_AHEAD
    )
    return tables
