"""The search space of the sketch classifier, and its problem for sweeps."""

from dataclasses import dataclass

from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.data.training_drawings import training_data
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.rows import TrainingData

SPACE = {
    "optimizer.learning_rate": {"low": 3.0e-4, "high": 1.0e-2, "log": True},
    "model.units": [64, 128, 256],
    "model.layers": {"low": 1, "high": 3},
    "model.filters": [[32, 64, 128], [48, 64, 96], [64, 128, 192]],
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.bidirectional": [False, True],
}
"""The default search space."""

CHANGEABLE = frozenset({"optimizer.learning_rate", "optimizer.weight_decay", "model.dropout"})
"""Fields that may change in mid-training: no shape of weights or optimizer depends on them."""


@dataclass(frozen=True)
class SketchProblem:
    """The classifier's configurations; implements `rnnray.tuning.trial.Problem`."""

    config: SketchConfig
    class_names: tuple[str, ...]
    drawings: TrainingData
    """Drawings in Ray's object store, read once for all trials."""

    def task(self, config: SketchConfig) -> SketchTask:
        """Return the task of a trial."""
        return SketchTask(config, self.class_names)

    def data(self, config: SketchConfig) -> TrainingData:
        """Return a trial's drawings, which are the same for all trials."""
        return self.drawings


def problem(config: SketchConfig, drawings: Drawings) -> SketchProblem:
    """Read a source once for all trials.

    Raises:
        UserError: the source has no drawings to train on or to validate with, or bad ones.
    """
    return SketchProblem(config, drawings.class_names, training_data(drawings, config))
