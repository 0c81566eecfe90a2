"""What differs between the workers' copies of a model: moving statistics and dropout masks."""

from typing import Any

import keras
import numpy as np

from rnnray.training.strategy import Sums
from rnnray.training.watchdog import WAITS, Pulse


class MovingStatistics:
    """The moving statistics of batch normalisation, of which each worker moves its own."""

    def __init__(self, strategy: Any, model: Any, workers: int, pulse: Pulse) -> None:
        self._scope, self._workers = strategy.scope, workers
        self._variables = [v for v in model.non_trainable_variables if "float" in str(v.dtype)]
        add_up = Sums(strategy, sum(np.size(v) for v in self._variables))
        self._add_up = pulse.around(WAITS, add_up)

    def average(self) -> None:
        """Make them the mean over the workers; rank 0's alone would go into the checkpoint.

        Every worker must call it.
        """
        if self._workers == 1 or not self._variables:
            return
        values = [np.asarray(keras.ops.convert_to_numpy(v)) for v in self._variables]
        flat = np.concatenate([value.ravel() for value in values]).astype(np.float64)
        mean = self._add_up(flat) / self._workers
        parts = np.split(mean, np.cumsum([value.size for value in values])[:-1])
        with self._scope():
            for variable, value, part in zip(self._variables, values, parts, strict=True):
                variable.assign(part.reshape(value.shape).astype(value.dtype))


def seed_dropout(strategy: Any, model: Any, seed: int, *place: int) -> None:
    """Give dropout masks that follow from a seed, the worker's rank and the place in the run."""
    states = [v for v in model.non_trainable_variables if v.path.endswith("generator_state")]
    with strategy.scope():
        for index, state in enumerate(states):
            words = np.random.SeedSequence((seed, index, *place)).generate_state(2)
            state.assign((words >> 1).astype(np.dtype(state.dtype)))
