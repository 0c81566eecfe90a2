#!/usr/bin/env python3
"""Search for a better composer: learning rate, number of dilated convolutions, LSTM size, dropout.

Trials train side by side; poor ones are stopped early. The same --storage-path and --name resume a
sweep where it stopped. --space, a YAML file, says which fields to search. The other options of the
model and of training are those of jobs/train_chorale.py, and hold for every trial. The last line of
the output is JSON: the best trial's metric (nats per note on the validation split), values and
checkpoint, and best.yaml, which jobs/train_chorale.py takes as its --config.
"""

from dataclasses import dataclass
from typing import Any, Literal

from rnnray import job
from rnnray.chorale.chorale_config import ChoraleConfig, notebook, strong
from rnnray.tuning.sweep_options import SweepOptions


class Options(job.PresetOptions):
    """Options of this job."""

    preset: Literal["notebook", "strong"] = "notebook"
    """Preset that gives the other defaults: notebook, the book's, or strong."""


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    chorale: ChoraleConfig
    sweep: SweepOptions
    options: Options


def main(config: Config) -> dict[str, Any]:
    """Do the job."""
    import ray

    from rnnray import cluster
    from rnnray.chorale.chorale_tuning import CHANGEABLE, SPACE, ChoraleProblem
    from rnnray.chorale.data.corpus import open_corpus
    from rnnray.chorale.data.corpus_statistics import statistics_of, to_json
    from rnnray.chorale.data.training_windows import identity, training_data
    from rnnray.tuning import best, space

    chorale, sweep = config.chorale, config.sweep
    cluster.connect(verbose=config.options.verbose, dashboard=sweep.needs_dashboard())
    searched = space.read(sweep.space, SPACE, chorale)
    corpus = open_corpus(chorale.data, split=chorale.split)
    training_data(chorale, corpus)  # says what is missing before a trial starts
    problem = ChoraleProblem(chorale, ray.put(corpus), to_json(statistics_of(corpus)))
    return best.find(problem, searched, sweep, changeable=CHANGEABLE, data=identity(corpus))


if __name__ == "__main__":
    job.run(main, Config, description=__doc__, presets={"notebook": notebook, "strong": strong})
