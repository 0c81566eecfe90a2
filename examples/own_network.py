#!/usr/bin/env python3
"""Train an LSTM to subtract two numbers that are marked in a series, the second from the first.

The last line of the output is JSON: the metrics of the best epoch, its checkpoint, its curves.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from annotated_types import Ge

from rnnray import job, training


class NetworkConfig(training.TrainingConfig):
    optimizer: training.OptimizerConfig = training.OptimizerConfig(name="adam", learning_rate=0.01)
    """The optimizer."""
    length: Annotated[int, Ge(2)] = 12
    """Length of a series."""
    units: Annotated[int, Ge(1)] = 32
    """Size of the LSTM."""


@dataclass(frozen=True)
class Subtraction(training.Task):
    config: NetworkConfig
    metric_names = ("error",)
    score = ("validation_error", "min")

    def build_model(self, *, unroll: bool) -> Any:
        from keras import Model, layers

        numbers, marks = (layers.Input((self.config.length, 1)) for _ in range(2))
        state = layers.LSTM(self.config.units)(layers.Concatenate()([numbers, marks]))
        return Model((numbers, marks), layers.Dense(1)(state))

    def batch(self, table: pa.Table) -> Any:
        lists = [table[name].combine_chunks().flatten() for name in ("numbers", "marks")]
        inputs = tuple(each.to_numpy().reshape(len(table), -1, 1) for each in lists)
        return inputs, table["difference"].to_numpy(), np.ones(len(table))

    def row_losses(self, targets: Any, outputs: Any) -> Any:
        return (outputs[:, 0] - targets) ** 2

    def row_metrics(self, targets: Any, outputs: Any) -> Any:
        return abs(outputs - targets[:, None])


def rows(count: int, length: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    numbers, marks = rng.random((count, length), np.float32), np.zeros((count, length), np.float32)
    marked = np.sort(rng.random((count, length)).argsort(axis=1)[:, :2])
    np.put_along_axis(marks, marked, 1, axis=1)
    first, second = np.take_along_axis(numbers, marked, axis=1).T
    lists = [pa.FixedSizeListArray.from_arrays(x.ravel(), length) for x in (numbers, marks)]
    return pa.table([*lists, first - second], ["numbers", "marks", "difference"])


def data(network: NetworkConfig) -> Any:
    return training.TrainingData.of(rows(10_000, network.length, 0), rows(1_000, network.length, 1))


@dataclass(frozen=True)
class Config:
    network: NetworkConfig
    run: training.RunOptions
    options: job.FileOptions


def main(config: Config) -> dict[str, Any]:
    training.connect(verbose=config.options.verbose)
    task = Subtraction(config.network)
    run = training.train(task, config.network, config.run, data(config.network))
    return run.metrics | {"checkpoint": run.best, "pictures": training.draw_curves(run, task)}


if __name__ == "__main__":
    job.run(main, Config, description=__doc__)
