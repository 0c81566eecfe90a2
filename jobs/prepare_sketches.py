#!/usr/bin/env python3
"""Convert drawings once to Parquet, which training reads faster, or to TFRecords.

The output is a folder with train, validation and test, which every other sketch job takes as
--data. The drawings of each split are mixed over its files. The last line of the output is JSON:
the number of drawings in each split.
"""

from typing import Any, Literal

from rnnray import job
from rnnray.sketch.sketch_config import OnBadRecord
from rnnray.training.training_options import Split


class Options(job.JobOptions):
    """Options of this job."""

    data: str
    """Drawings: demo, demo:COUNT, quickdraw, or a path or URI (formats: README)."""
    output: str
    """Folder or URI to write to, which must be new or empty."""
    split: Split | None = None
    """Shares of the splits in percent, TRAIN:VALIDATION:TEST, such as 80:10:10, for drawings
    without splits: by a hash of each."""
    format: Literal["parquet", "tfrecords"] = "parquet"
    """Format to write: parquet for training, or tfrecords, shards like the tutorial's."""
    shuffle: bool = True
    """Mix the drawings of each split over its files; data sorted by class need this."""
    seed: int = 42
    """Seed of the shuffling."""
    recognized_only: bool = False
    """Leave out drawings that the game did not recognise ("recognized" is false)."""
    y_up: bool = False
    """Read the files' y as growing upwards, as in mathematics, and not downwards, as on screens."""
    on_bad_record: OnBadRecord = "error"


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import bad_records, cluster
    from rnnray.sketch.data.datasets import open_drawings
    from rnnray.sketch.data.prepare import prepare

    cluster.connect(verbose=config.verbose)
    with bad_records.counted(config.on_bad_record) as bad:
        drawings = open_drawings(
            config.data,
            recognized_only=config.recognized_only,
            y_up=config.y_up,
            on_bad=bad,
            split=config.split,
        )
        counts = prepare(
            drawings,
            config.output,
            file_format=config.format,
            shuffle=config.shuffle,
            seed=config.seed,
        )
    return {
        "output": config.output,
        **counts,
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
