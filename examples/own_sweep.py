#!/usr/bin/env python3
"""Search for the learning rate and the size with which own_network.py subtracts best.

The last line of the output is JSON: the best trial's metric, values and checkpoint, and best.yaml,
which own_network.py takes as its --config.
"""

from dataclasses import dataclass
from typing import Any

from own_network import NetworkConfig, Subtraction, data

from rnnray import job, training, tuning


@dataclass(frozen=True)
class Problem:
    config: NetworkConfig

    def task(self, config: NetworkConfig) -> Subtraction:
        return Subtraction(config)

    def data(self, config: NetworkConfig) -> Any:
        return data(config)


@dataclass(frozen=True)
class Config:
    network: NetworkConfig
    sweep: tuning.SweepOptions
    options: job.FileOptions


SPACE = {
    "optimizer.learning_rate": {"low": 1.0e-3, "high": 3.0e-2, "log": True},
    "units": [16, 32, 64],
}


def main(config: Config) -> dict[str, Any]:
    training.connect(verbose=config.options.verbose, dashboard=config.sweep.needs_dashboard())
    space = tuning.read_space(config.sweep.space, SPACE, config.network)
    return tuning.find(Problem(config.network), space, config.sweep)


if __name__ == "__main__":
    job.run(main, Config, description=__doc__)
