#!/usr/bin/env python3
"""Classify drawings: the five most probable classes of each, with probabilities, as Parquet.

Reads a file or a folder of drawings, in any format that README.md lists. The output has the columns
file, row (number in the file, from 0), key_id, true_class (null if the source does not say),
classes and probabilities (lists, the most probable first). Its rows are in the source's order. The
last line of the output is JSON: output, count.
"""

from typing import Any

from rnnray import job
from rnnray.packaged import CLASSIFIER
from rnnray.sketch.sketch_config import OnBadRecord
from rnnray.training.training_options import NoGpu


class Options(job.JobOptions):
    """Options of this job."""

    data: str
    """Drawings: a path or URI of a file or folder (formats: README), demo:COUNT or quickdraw."""
    output: str
    """Path or URI of the Parquet file to write."""
    checkpoint: str = CLASSIFIER
    """Path or URI of a checkpoint folder (epoch-* in a run's folder); quickdraw is the classifier
    that comes with the package."""
    y_up: bool = False
    """Read the files' y as growing upwards, as in mathematics, and not downwards, as on screens."""
    workers: job.BatchWorkers = None
    no_gpu: NoGpu = False
    on_bad_record: OnBadRecord = "error"


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import bad_records, cluster
    from rnnray.sketch.classifier import read_checkpoint
    from rnnray.sketch.data.datasets import open_drawings
    from rnnray.sketch.sketch_classification import classify

    cluster.connect(verbose=config.verbose)
    _, class_names = read_checkpoint(config.checkpoint)
    with bad_records.counted(config.on_bad_record) as bad:
        drawings = open_drawings(
            config.data, class_names=class_names, labelled=False, y_up=config.y_up, on_bad=bad
        )
        count = classify(
            config.checkpoint,
            drawings,
            config.output,
            workers=config.workers,
            gpu=False if config.no_gpu else None,
        )
    return {
        "output": config.output,
        "count": count,
        "checkpoint": config.checkpoint,
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
