"""What differs between the workers' copies of a model: moving statistics and dropout masks."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from rnnray.training.faults.watchdog import WAITS, Pulse
from rnnray.training.strategy import Sums

COMMON_SEED = "same_on_all_workers"
"""Name of a seed generator whose numbers do not depend on the worker: those of layers that tell
rows apart by themselves."""


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


class DropoutMasks:
    """The seed generators of dropout layers: masks follow from seed, rank, epoch and step.

    The state of a Keras seed generator is a key and a counter of the masks that it gave. Keras does
    not save it. Of generators named `COMMON_SEED` the rank does not count.

    Args:
        strategy: whose scope the model was made in.
        model: with dropout layers, or without.
        seed: of the run.
        rank: of this worker.
    """

    def __init__(self, strategy: Any, model: Any, seed: int, rank: int) -> None:
        self._scope, self._seed, self._rank = strategy.scope, seed, rank
        self._states = [
            v for v in model.non_trainable_variables if v.path.endswith("generator_state")
        ]
        self._first = np.zeros(len(self._states), np.int64)

    def begin(self, epoch: int, given: Sequence[int]) -> None:
        """Begin an epoch, or go on in it.

        Args:
            epoch: epochs that are done.
            given: see `given`; empty at the beginning of the epoch.
        """
        with self._scope():
            for index, state in enumerate(self._states):
                rank = 0 if COMMON_SEED in state.path else self._rank
                place = (self._seed, index, rank, epoch, 0)
                key, first = np.random.SeedSequence(place).generate_state(2) >> 1
                self._first[index] = first
                counter = int(first) + (given[index] if index < len(given) else 0)
                state.assign(np.array([key, counter % 2**31], np.dtype(state.dtype)))

    def given(self) -> list[int]:
        """Masks that each generator has given in this epoch, the same on all workers."""
        counters = [int(keras.ops.convert_to_numpy(state)[1]) for state in self._states]
        return [
            (counter - int(first)) % 2**31
            for counter, first in zip(counters, self._first, strict=True)
        ]
