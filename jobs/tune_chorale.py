#!/usr/bin/env python3
"""Search for a better composer: learning rate, number of dilated convolutions, LSTM size, dropout.

Trials train side by side, poor ones are stopped early. The same --storage-path and --name go on
where a sweep stopped. What is searched is --space, a YAML file; all other options are those of
jobs/train_chorale.py, and hold for every trial. The last line of the output is JSON: the best
trial's score (nats per note on the valid split), values and checkpoint, and best.yaml, which
jobs/train_chorale.py takes as its --config.
"""

from typing import Any, Literal

import ray

from rnnray import job, storage
from rnnray.chorale.config import ChoraleConfig, notebook, strong
from rnnray.chorale.corpus import open_corpus
from rnnray.chorale.data import identity, training_data
from rnnray.chorale.statistics import statistics_of, to_json
from rnnray.chorale.tuning import CHANGEABLE, SPACE, ChoraleProblem
from rnnray.tuning import results, space, sweep
from rnnray.tuning.options import SweepOptions


class Options(job.JobOptions, SweepOptions, ChoraleConfig):
    """Options of this job."""

    preset: Literal["notebook", "strong"] = "notebook"
    """Where the other defaults come from: notebook, the book's, or strong."""
    config: str | None = None
    """YAML file with values of these options; wins over the preset, the command line over it."""

    def needs_dashboard(self) -> bool:
        """Ray frees the workers of a trial that is stopped early by asking its dashboard."""
        return self.workers_per_trial > 1


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    config = job.part_of(options, ChoraleConfig)
    searched = space.parse(
        SPACE if options.space is None else job.read_yaml(options.space),
        config,
        options.space or "the default space",
    )
    corpus = open_corpus(config.data, split=config.split)
    training_data(config, corpus)  # says what is missing before a trial starts
    problem = ChoraleProblem(config, ray.put(corpus), to_json(statistics_of(corpus)))
    sweep_options = job.part_of(options, SweepOptions)
    grid = sweep.run(problem, searched, sweep_options, changeable=CHANGEABLE, data=identity(corpus))
    score = sweep.score_of(problem.task(config), options.metric)
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    return results.publish(
        results.collect(grid, score, config.epochs), searched, config, score, folder
    )


if __name__ == "__main__":
    job.run(Options, work, description=__doc__, presets={"notebook": notebook, "strong": strong})
