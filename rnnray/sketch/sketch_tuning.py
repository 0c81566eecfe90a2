"""What a sweep of the sketch classifier varies, and on what."""

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
"""What may change in mid-training: neither the weights' shapes nor the optimizer's depend on it."""


@dataclass(frozen=True)
class SketchProblem:
    """The classifier's configurations; implements `rnnray.tuning.trial.Problem`."""

    config: SketchConfig
    class_names: tuple[str, ...]
    drawings: TrainingData
    """Read once into Ray's object store, where all trials find them."""

    def task(self, config: SketchConfig) -> SketchTask:
        """The task of a trial."""
        return SketchTask(config, self.class_names)

    def data(self, config: SketchConfig) -> TrainingData:
        """A trial's drawings: the same for all."""
        return self.drawings


def problem(config: SketchConfig, drawings: Drawings) -> SketchProblem:
    """Read a source once for all trials.

    Raises:
        UserError: the source has no drawings to train on or to validate with, or bad ones.
    """
    return SketchProblem(config, drawings.class_names, training_data(drawings, config))
