#!/usr/bin/env python3
"""Classify videos: the five most probable classes of each, with probabilities, as Parquet.

Reads a video file (MP4, MOV, MKV, WebM, AVI) or a folder of them. The output has the columns file,
true_class (the folder that the file lies in; null if it lies in none), classes and probabilities
(lists, the most probable first). Its rows are in the order of the files' paths. The last line of
the output is JSON: output, count.
"""

from typing import Any

from rnnray import job
from rnnray.training.training_options import NoGpu
from rnnray.video.video_config import OnBadFile


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: str
    """Path or URI of a checkpoint folder (epoch-* in a run's folder)."""
    data: str
    """Videos: a path or URI of a file or folder, demo or demo:COUNT."""
    output: str
    """Path or URI of the Parquet file to write."""
    workers: job.BatchWorkers = None
    no_gpu: NoGpu = False
    on_bad_file: OnBadFile = "error"


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import bad_records, cluster
    from rnnray.video.data.videos import open_videos
    from rnnray.video.video_classification import classify
    from rnnray.video.video_classifier import read_checkpoint

    read_checkpoint(config.checkpoint)  # a wrong one is told before Ray starts
    cluster.connect(verbose=config.verbose)
    with bad_records.counted(config.on_bad_file, "videos") as bad:
        videos = open_videos(config.data, labelled=False, on_bad=bad)
        count = classify(
            config.checkpoint,
            videos,
            config.output,
            workers=config.workers,
            gpu=False if config.no_gpu else None,
        )
    return {
        "output": config.output,
        "count": count,
        "checkpoint": config.checkpoint,
        "skipped": bad.count if bad else 0,
        "passed_over": videos.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
