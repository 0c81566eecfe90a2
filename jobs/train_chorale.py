#!/usr/bin/env python3
"""Train the composer of chorales, here or on a cluster, from a corpus to a checkpoint.

The same --storage-path and --name go on where an earlier run stopped. The last line of the output
is JSON: nats_per_note and accuracy over whole pieces of the test split, book_loss and
book_accuracy in the book's windows, and the best checkpoint's path.
"""

from typing import Any, Literal

from rnnray import job
from rnnray.chorale import training
from rnnray.chorale.config import PRESETS, ChoraleConfig
from rnnray.chorale.corpus import open_corpus
from rnnray.training.options import RunName, RunOptions


class Options(job.JobOptions, RunOptions, ChoraleConfig):
    """Options of this job."""

    name: RunName = "chorale"
    """Name of this run and of its folder; the same name goes on where the run stopped."""
    preset: Literal["strong", "notebook"] = "strong"
    """Where the other defaults come from: strong, which we recommend, or notebook, the book's."""
    config: str | None = None
    """YAML file with values of these options; wins over the preset, the command line over it."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    config = job.part_of(options, ChoraleConfig)
    corpus = open_corpus(config.data, split=config.split)
    return training.train(config, corpus, job.part_of(options, RunOptions))


if __name__ == "__main__":
    job.run(Options, work, description=__doc__, presets=PRESETS)
