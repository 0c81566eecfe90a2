"""The search space of the composer, and its problem for sweeps."""

from dataclasses import dataclass
from typing import Any

import ray

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.data.training_windows import training_data
from rnnray.training.rows import TrainingData

SPACE = {
    "optimizer.learning_rate": {"low": 3.0e-4, "high": 1.0e-2, "log": True},
    "model.dilated_layers": {"low": 1, "high": 8},
    "model.lstm_units": [64, 128, 256, 384],
    "model.dropout": {"low": 0.0, "high": 0.5},
}
"""The default search space, for the book's architecture."""

CHANGEABLE = frozenset({"optimizer.learning_rate", "optimizer.weight_decay", "model.dropout"})
"""Fields that may change in mid-training: no shape of weights or optimizer depends on them."""


@dataclass(frozen=True)
class ChoraleProblem:
    """The composer's configurations; implements `rnnray.tuning.trial.Problem`."""

    config: ChoraleConfig
    corpus: Any
    """A chorale table in Ray's object store, which a node holds once for all its trials."""
    statistics: str = ""
    """Statistics of the corpus; see `ChoraleTask`."""

    def task(self, config: ChoraleConfig) -> ChoraleTask:
        """Return the task of a trial."""
        return ChoraleTask(config, self.statistics)

    def data(self, config: ChoraleConfig) -> TrainingData:
        """Return a trial's windows, which depend on its configuration and take a second to make."""
        return training_data(config, ray.get(self.corpus))
