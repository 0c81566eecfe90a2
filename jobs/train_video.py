#!/usr/bin/env python3
"""Train the video classifier, here or on a cluster, from folders of videos to a checkpoint.

It reads a frame a second and its sound; a small network looks at each frame and listens to its
sound, and a recurrent network reads the sequence. The same --storage-path and --name resume a run
where it stopped. The last line of the output is JSON: top1, top5, loss and count on the held-out
test split, and the best checkpoint's path.
"""

from dataclasses import dataclass
from typing import Any

from rnnray import job
from rnnray.training.training_options import RunName, RunOptions
from rnnray.video.video_config import PRESETS, OnBadFile, Preset, VideoConfig


class VideoRun(RunOptions):
    """Storage, workers and resources of a run of the classifier."""

    name: RunName = "video"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""


class Options(job.PresetOptions):
    """Options of this job."""

    preset: Preset = "strong"
    on_bad_file: OnBadFile = "error"


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    video: VideoConfig
    run: VideoRun
    options: Options


def main(config: Config) -> dict[str, Any]:
    """Do the job."""
    from rnnray import bad_records, cluster
    from rnnray.video import video_training
    from rnnray.video.data.videos import open_videos

    video, options = config.video, config.options
    cluster.connect(verbose=options.verbose)
    with bad_records.counted(options.on_bad_file, "videos") as bad:
        videos = open_videos(video.data, on_bad=bad, split=video.split)
        result = video_training.train(video, videos, config.run)
    return result | {
        "skipped": bad.count if bad else 0,
        "passed_over": videos.say_passed_over(),
    }


if __name__ == "__main__":
    job.run(main, Config, description=__doc__, presets=PRESETS)
