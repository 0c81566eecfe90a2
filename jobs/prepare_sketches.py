#!/usr/bin/env python3
"""Convert drawings to Parquet once: training from it reads faster. Or to TFRecords.

The output is a folder with train, validation and test, which every other job takes as --data; the
drawings of each split are mixed over its files. The last line of the output is JSON: the number of
drawings of each split.
"""

from typing import Any

from rnnray import job
from rnnray.sketch import bad_records
from rnnray.sketch.datasets import open_drawings
from rnnray.sketch.prepare import Format, prepare
from rnnray.training.config import Split


class Options(job.JobOptions):
    """Options of this job."""

    data: str
    """quickdraw, demo or demo:COUNT, or a path or URI of files of drawings (README)."""
    output: str
    """Folder or URI to write, new or empty."""
    split: Split | None = None
    """TRAIN:VALIDATION:TEST, in percent, such as 80:10:10: how drawings that have no splits are
    divided, by a hash of each."""
    format: Format = "parquet"
    """parquet for training; tfrecords writes shards as the tutorial's."""
    shuffle: bool = True
    """Mix the drawings of each split over its files; data sorted by class need it."""
    seed: int = 42
    """Seed of the shuffling."""
    recognized_only: bool = False
    """Leave out drawings that the game did not recognise ("recognized" is false)."""
    on_bad_record: bad_records.OnBadRecord = "error"
    """error ends the job at a drawing that cannot be used; skip counts it and goes on."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    with bad_records.counted(options.on_bad_record) as bad:
        drawings = open_drawings(
            options.data,
            recognized_only=options.recognized_only,
            on_bad=bad,
            split=options.split,
        )
        counts = prepare(
            drawings,
            options.output,
            file_format=options.format,
            shuffle=options.shuffle,
            seed=options.seed,
        )
    return {
        "output": options.output,
        **counts,
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(Options, work, description=__doc__)
