#!/usr/bin/env python3
"""Evaluate a checkpoint of the sketch classifier: every drawing counts exactly once.

The last line of the output is JSON: top1, top5 (shares), loss (nats a drawing), count.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge

from rnnray import job
from rnnray.sketch import bad_records
from rnnray.sketch.classifier import read_checkpoint
from rnnray.sketch.datasets import open_drawings
from rnnray.sketch.evaluation import evaluate


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: str
    """Path or URI of a checkpoint folder (epoch-* in a run's folder)."""
    data: str
    """demo or demo:COUNT, quickdraw, or a path or URI of files of drawings (README)."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Which drawings."""
    workers: Annotated[int, Ge(1)] | None = None
    """Processes that classify; by default one a GPU, or one less than there are CPUs, at most 8."""
    on_bad_record: bad_records.OnBadRecord = "error"
    """error ends the job at a drawing that cannot be used; skip counts it and goes on."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    _, class_names = read_checkpoint(options.checkpoint)
    with bad_records.counted(options.on_bad_record) as bad:
        drawings = open_drawings(options.data, class_names=class_names, on_bad=bad)
        result = evaluate(options.checkpoint, drawings, options.split, workers=options.workers)
    return {
        "top1": result.top1,
        "top5": result.top5,
        "loss": result.loss,
        "count": result.count,
        "split": options.split,
        "checkpoint": options.checkpoint,
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(Options, work, description=__doc__)
