#!/usr/bin/env python3
"""Measure speed, beside the book's way, in one run on this machine.

ingest: drawings/s into padded training batches. train: sketches/s in training. memory: MiB that
the training workers hold over an epoch (give it --data demo:1000000). compose: notes/s of new
chorales. tune: what a sweep of the composer costs beside its training (7 min).
generate: chorales/s from checkpoint to stored files, by stage.
Rates drift on a busy machine; the ratios of one run are what counts. The last line of the output is
JSON with all figures.
"""

from typing import Annotated, Any, Literal

import tyro
from annotated_types import Ge

import rnnray.chorale.benchmark
import rnnray.sketch.benchmark
from rnnray import job
from rnnray.chorale.generation import benchmark as generation


class Options(job.JobOptions):
    """Options of this job."""

    what: tyro.conf.Positional[Literal["ingest", "train", "memory", "compose", "tune", "generate"]]
    """What to measure."""
    data: str = "demo:100000"
    """Drawings: a folder of the tutorial's TFRecord shards, or demo:COUNT, of which shards are
    made first."""
    corpus: str = "jsb"
    """tune, generate: chorales, as --data of jobs/train_chorale.py."""
    generated: Annotated[int, Ge(1)] = 300
    """generate: chorales to compose, render and store each way."""
    s3: str | None = None
    """generate: s3://bucket/prefix to store them in too, besides a local folder."""
    count: Annotated[int, Ge(1)] = 400_000
    """ingest: drawings to read each way, rounded to whole passes."""
    chords: Annotated[int, Ge(1)] = 64
    """compose, generate: length of a chorale, in chords (sixteenths)."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    sketch, chorale = rnnray.sketch.benchmark, rnnray.chorale.benchmark
    if options.what == "ingest":
        return {"ingest": sketch.ingest(options.data, options.count)}
    if options.what == "train":
        return {"train": sketch.train(options.data)}
    if options.what == "memory":
        return {"memory": sketch.memory(options.data)}
    if options.what == "tune":
        return {"tune": chorale.tune(options.corpus)}
    if options.what == "generate":
        return {
            "generate": generation.generate(
                options.generated, options.chords, options.corpus, options.s3
            )
        }
    return {"compose": chorale.compose(options.chords)}


if __name__ == "__main__":
    job.run(Options, work, description=__doc__)
