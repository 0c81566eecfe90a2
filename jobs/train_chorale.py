#!/usr/bin/env python3
"""Train the composer of chorales, here or on a cluster, from a corpus to a checkpoint.

The same --storage-path and --name resume a run where it stopped. The last line of the output is
JSON: nats_per_note, accuracy and moving_accuracy over whole pieces of the test split, book_loss and
book_accuracy in the book's windows, and the best checkpoint's path.
"""

from dataclasses import dataclass
from typing import Any, Literal

from rnnray import job
from rnnray.chorale.chorale_config import PRESETS, ChoraleConfig
from rnnray.training.training_options import RunName, RunOptions


class ChoraleRun(RunOptions):
    """Storage, workers and resources of a run of the composer."""

    name: RunName = "chorale"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""


class Options(job.PresetOptions):
    """Options of this job."""

    preset: Literal["strong", "notebook"] = "strong"
    """Preset that gives the other defaults: strong, which we recommend, or notebook, the book's."""


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    chorale: ChoraleConfig
    run: ChoraleRun
    options: Options


def main(config: Config) -> dict[str, Any]:
    """Do the job."""
    from rnnray import cluster
    from rnnray.chorale import chorale_training
    from rnnray.chorale.data.corpus import open_corpus

    cluster.connect(verbose=config.options.verbose)
    corpus = open_corpus(config.chorale.data, split=config.chorale.split)
    return chorale_training.train(config.chorale, corpus, config.run)


if __name__ == "__main__":
    job.run(main, Config, description=__doc__, presets=PRESETS)
