#!/usr/bin/env python3
"""Train the sketch classifier, here or on a cluster, from drawings to a checkpoint that predicts.

The same --storage-path and --name resume a run where it stopped. The last line of the output is
JSON: top1, top5, loss and count on the held-out test split, and the best checkpoint's path.
"""

from dataclasses import dataclass
from typing import Any

from rnnray import job
from rnnray.sketch.sketch_config import PRESETS, OnBadRecord, Preset, SketchConfig
from rnnray.training.training_options import RunName, RunOptions


class SketchRun(RunOptions):
    """Storage, workers and resources of a run of the classifier."""

    name: RunName = "sketch"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""


class Options(job.PresetOptions):
    """Options of this job."""

    preset: Preset = "strong"
    on_bad_record: OnBadRecord = "error"
    export: str | None = None
    """Folder or URI to which a SavedModel of the best checkpoint is written as well."""


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    sketch: SketchConfig
    run: SketchRun
    options: Options


def main(config: Config) -> dict[str, Any]:
    """Do the job."""
    from rnnray import bad_records, cluster
    from rnnray.sketch import sketch_training
    from rnnray.sketch.data.datasets import open_drawings

    sketch, options = config.sketch, config.options
    cluster.connect(verbose=options.verbose)
    with bad_records.counted(options.on_bad_record) as bad:
        drawings = open_drawings(
            sketch.data,
            recognized_only=sketch.recognized_only,
            y_up=sketch.y_up,
            on_bad=bad,
            split=sketch.split,
        )
        result = sketch_training.train(sketch, drawings, config.run, export=options.export)
    return result | {
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(main, Config, description=__doc__, presets=PRESETS)
