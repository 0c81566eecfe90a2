#!/usr/bin/env python3
"""Measure speed, beside the book's way, in one run on this machine.

ingest: drawings/s into padded training batches. train: sketches/s in training. memory: MiB that
the training workers hold over an epoch (give it --data demo:1000000).
Rates drift on a busy machine; the ratios of one run are what counts. The last line of the output
is JSON with all figures.
"""

from typing import Annotated, Any, Literal

import tyro
from annotated_types import Ge

from rnnray import job
from rnnray.sketch import benchmark


class Options(job.JobOptions):
    """Options of this job."""

    what: tyro.conf.Positional[Literal["ingest", "train", "memory"]]
    """What to measure."""
    data: str = "demo:100000"
    """A folder of the tutorial's TFRecord shards, or demo:COUNT, of which shards are made first."""
    count: Annotated[int, Ge(1)] = 400_000
    """ingest: drawings to read each way, rounded to whole passes."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    if options.what == "ingest":
        return {"ingest": benchmark.ingest(options.data, options.count)}
    if options.what == "train":
        return {"train": benchmark.train(options.data)}
    return {"memory": benchmark.memory(options.data)}


if __name__ == "__main__":
    job.run(Options, work, description=__doc__)
