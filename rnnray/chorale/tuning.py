"""What a sweep of the composer varies, and on what."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from rnnray.chorale import table
from rnnray.chorale.config import ChoraleConfig
from rnnray.chorale.task import ChoraleTask, training_rows, whole_pieces
from rnnray.tuning.trial import TrialData

SPACE = {
    "optimizer.learning_rate": {"low": 3.0e-4, "high": 1.0e-2, "log": True},
    "model.dilated_layers": {"low": 1, "high": 8},
    "model.lstm_units": [64, 128, 256, 384],
    "model.dropout": {"low": 0.0, "high": 0.5},
}
"""The default search space, for the book's architecture."""


@dataclass(frozen=True)
class ChoraleProblem:
    """The composer's configurations; implements `rnnray.tuning.trial.Problem`."""

    config: ChoraleConfig
    corpus: Any
    """A chorale table in Ray's object store, which a node holds once for all its trials."""

    def task(self, config: ChoraleConfig) -> ChoraleTask:
        """The task of a trial."""
        return ChoraleTask(config)

    def data(self, config: ChoraleConfig) -> TrialData:
        """A trial's windows: they depend on its configuration, and take a second to make."""
        corpus: pa.Table = ray.get(self.corpus)
        training = training_rows(config, table.chords_of(table.select(corpus, "train")))
        valid = whole_pieces(table.chords_of(table.select(corpus, "valid")))
        return TrialData(lambda: [training], lambda: [valid], len(training))
