"""The moving average of a model's weights, which is validated, saved and exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

_WARM_UP = 9  # steps; the average of the first ones is no average with weights of a random start


class WeightAverage:
    """An exponential moving average of a model's trainable weights (EMA).

    The averages are variables of the optimizer, and so in its file. A checkpoint is written while
    both have changed places: its model is the average, and its optimizer has the weights to go on
    with.

    Args:
        strategy: whose scope the model was made in.
        model: whose weights are averaged.
        optimizer: built for them.
        momentum: share of the old average in each step, 0 for no average; less in the first steps.
    """

    def __init__(self, strategy: Any, model: Any, optimizer: Any, momentum: float) -> None:
        self._scope, self._momentum, self._steps = strategy.scope, momentum, optimizer.iterations
        self._weights = model.trainable_variables if momentum else []
        self._averages = [
            optimizer.add_variable_from_reference(weight, name="average")
            for weight in self._weights
        ]

    def update(self) -> None:
        """Take the weights in; after each step, where the optimizer is called."""
        if not self._weights:
            return
        before = ops.cast(self._steps, "float32") - 1
        kept = ops.minimum(self._momentum, before / (before + _WARM_UP))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(kept * average + (1 - kept) * weight)

    def exchange(self) -> None:
        """Let the model have the average, and the averages have the weights, or back again."""
        with self._scope():
            for average, weight in zip(self._averages, self._weights, strict=True):
                first, second = (keras.ops.convert_to_numpy(v).copy() for v in (average, weight))
                weight.assign(first)
                average.assign(second)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which the model has the average."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()
