#!/usr/bin/env python3
"""Train the sketch classifier, here or on a cluster, from drawings to a checkpoint that predicts.

The same --storage-path and --name go on where an earlier run stopped. The last line of the output
is JSON: top1, top5, loss and count on the held-out test split, and the best checkpoint's path.
"""

from typing import Any, Literal

from rnnray import job
from rnnray.sketch import bad_records, training
from rnnray.sketch.config import PRESETS, SketchConfig
from rnnray.sketch.datasets import open_drawings
from rnnray.training.options import RunOptions


class Options(job.JobOptions, RunOptions, SketchConfig):
    """Options of this job."""

    preset: Literal["strong", "notebook"] = "strong"
    """Where the other defaults come from: strong, which we recommend, or notebook, the book's."""
    config: str | None = None
    """YAML file with values of these options; wins over the preset, the command line over it."""
    on_bad_record: bad_records.OnBadRecord = "error"
    """error ends the run at a drawing that cannot be used; skip counts it and goes on."""
    export: str | None = None
    """Folder or URI for a SavedModel of the best checkpoint, too."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    config = job.part_of(options, SketchConfig)
    with bad_records.counted(options.on_bad_record) as bad:
        drawings = open_drawings(
            config.data,
            recognized_only=config.recognized_only,
            on_bad=bad,
            split=config.split,
        )
        result = training.train(
            config, drawings, job.part_of(options, RunOptions), export=options.export
        )
    return result | {
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(Options, work, description=__doc__, presets=PRESETS)
