#!/usr/bin/env python3
"""Measure speed beside the book's way, in one run on this machine.

ingest: drawings/s into padded training batches. train: sketches/s in training, of the book's model
and of strong. memory: MiB that the training workers hold during an epoch (use --data demo:1000000).
compose: notes/s of new chorales. tune: time that a sweep of the composer takes in addition to its
training (7 min). generate: chorales/s from checkpoint to stored files, by stage. own: rows/s of
examples/own_network.py, by Keras's fit and by this project's loop on one and on two workers. video:
frames/s decoded, by PyAV alone in a process for each CPU and by this project's reader. Rates vary
on a busy machine: compare ratios of one run. The last line of the output is JSON with all rates.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro
from annotated_types import Ge

from rnnray import job


class Options(job.JobOptions):
    """Options of this job."""

    what: tyro.conf.Positional[
        Literal["ingest", "train", "memory", "compose", "tune", "generate", "own", "video"]
    ]
    """Kind of measurement."""
    data: str = "demo:100000"
    """Drawings: a folder of the tutorial's TFRecord shards, or demo:COUNT, of which shards are
    written first."""
    corpus: str = "jsb"
    """tune, generate: corpus of chorales, as --data of jobs/train_chorale.py."""
    generated: Annotated[int, Ge(1)] = 300
    """generate: number of chorales to compose, render and store in each way."""
    s3: str | None = None
    """generate: s3://bucket/prefix to store chorales in, besides a local folder."""
    count: Annotated[int, Ge(1)] = 400_000
    """ingest: number of drawings to read in each way, rounded to whole passes."""
    chords: Annotated[int, Ge(1)] = 64
    """compose, generate: length of a chorale, in chords (sixteenths)."""


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import cluster
    from rnnray.benchmarks import composing_speed as chorale
    from rnnray.benchmarks import generation_speed as generation
    from rnnray.benchmarks import own_speed, video_speed
    from rnnray.benchmarks import sketch_speed as sketch

    if config.what != "compose":  # which needs no Ray
        cluster.connect(verbose=config.verbose)
    measures: dict[str, Callable[[], Any]] = {
        "ingest": lambda: sketch.ingest(config.data, config.count),
        "train": lambda: sketch.train(config.data),
        "memory": lambda: sketch.memory(config.data),
        "compose": lambda: chorale.compose(config.chords),
        "tune": lambda: chorale.tune(config.corpus),
        "generate": lambda: generation.generate(
            config.generated, config.chords, config.corpus, config.s3
        ),
        "own": own_speed.own,
        "video": video_speed.video,
    }
    return {config.what: measures[config.what]()}


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
