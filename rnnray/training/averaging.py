"""The moving average of a model's weights, which is validated, saved and exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

_WARM_UP = 9  # steps, so that the random weights at the start have no share in the average


class WeightAverage:
    """An exponential moving average of a model's trainable weights (EMA).

    The averages are variables of the optimizer, and so they are in its file. A checkpoint is
    written while weights and averages are swapped: its model has the averages, and its
    optimizer has the weights that training continues with.

    Args:
        strategy: the strategy in whose scope the model was made.
        model: the model.
        optimizer: an optimizer that is built for the model.
        momentum: share of the old average in each step, smaller in the first steps; 0 for no
            average.
    """

    def __init__(self, strategy: Any, model: Any, optimizer: Any, momentum: float) -> None:
        self._scope, self._momentum, self._steps = strategy.scope, momentum, optimizer.iterations
        self._weights = model.trainable_variables if momentum else []
        self._averages = [
            optimizer.add_variable_from_reference(weight, name="average")
            for weight in self._weights
        ]

    def update(self) -> None:
        """Add the weights to the average; called after each step of the optimizer."""
        if not self._weights:
            return
        before = ops.cast(self._steps, "float32") - 1
        kept = ops.minimum(self._momentum, before / (before + _WARM_UP))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(kept * average + (1 - kept) * weight)

    def exchange(self) -> None:
        """Exchange the model's weights and the averages."""
        with self._scope():
            for average, weight in zip(self._averages, self._weights, strict=True):
                first, second = (keras.ops.convert_to_numpy(v).copy() for v in (average, weight))
                weight.assign(first)
                average.assign(second)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Return a context in which the model has the averages."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()
