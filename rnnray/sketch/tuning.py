"""What a sweep of the sketch classifier varies, and on what."""

from dataclasses import dataclass

from rnnray.sketch.config import SketchConfig
from rnnray.sketch.data import training_data
from rnnray.sketch.drawings import Drawings
from rnnray.sketch.task import SketchTask
from rnnray.training.data import Blocks

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
    drawings: Blocks
    """Read once into Ray's object store, where all trials find them."""

    def task(self, config: SketchConfig) -> SketchTask:
        """The task of a trial."""
        return SketchTask(config, self.class_names)

    def blocks(self, config: SketchConfig) -> Blocks:
        """A trial's drawings: the same for all."""
        return self.drawings


def problem(config: SketchConfig, drawings: Drawings) -> SketchProblem:
    """Read a source once for all trials.

    Raises:
        UserError: the source has no drawings to train on or to validate with, or bad ones.
    """
    data = training_data(drawings, balanced=config.class_weights == "balanced")
    blocks = Blocks(
        data.training.materialize().to_arrow_refs(),
        data.validation.materialize().to_arrow_refs(),
        data.training_rows,
    )
    return SketchProblem(config, drawings.class_names, blocks)
