"""The clips that a video classifier trains on, decoded once and mixed."""

import pyarrow as pa
import pyarrow.compute as pc

from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.training.rows import TrainingData, mixed, read
from rnnray.video import frame_features
from rnnray.video.data.videos import Videos
from rnnray.video.video_config import ClipConfig, VideoConfig


def training_data(
    videos: Videos, config: VideoConfig, cache: str, *, gpu: bool | None = None
) -> TrainingData:
    """Decode the train and the validation split of a source.

    A clip takes about 12 KB of Ray's object store a frame of 64 x 64 pixels, and 16 KB for a
    second of sound; and of the disk when memory is full.

    Args:
        videos: an opened source.
        config: how a video becomes a clip, and the frames' network.
        cache: path or URI of a folder for the outputs of a frames' network that is not trained.
        gpu: see `batch_jobs.mapped`.

    Raises:
        UserError: a split has no videos, or a file cannot be used.
    """
    blocks = {}
    for split in ("validation", "train"):
        if videos.splits[split]:
            clips = videos.dataset(split, config)
            blocks[split] = (
                read(clips, f"{split} videos")
                if config.model.frames == "cnn"
                else frame_features.computed_once(
                    clips,
                    config,
                    videos.identity(len(videos.splits[split])),
                    cache,
                    split,
                    gpu=gpu,
                )
            )
        if split not in blocks or not blocks[split].rows:
            raise UserError(
                f"{videos.data}: no videos in the {split} split; splits are folders named train, "
                "validation and test with a folder for each class, or --split 80:10:10 divides "
                "the videos of each class"
            )
    training, validation = blocks["train"], blocks["validation"]
    about = [each for some in blocks.values() for each in some.of_each(_about)]
    say_of_clips(pa.concat_tables(about), config)
    if config.shuffle_rows:
        training = mixed(training, config.seed, "training videos")
    return TrainingData(training, validation, videos.identity(training.rows))


def say_of_clips(clips: pa.Table, config: ClipConfig) -> None:
    """Print how many videos have no sound, and how many go on after their clip, if any do.

    Args:
        clips: columns `has_sound` and `cropped` of a clip table.
        config: how a video became a clip.
    """
    silent, cropped = (
        pc.sum(pc.cast(column, pa.int64())).as_py() or 0
        for column in (pc.invert(clips["has_sound"]), clips["cropped"])
    )
    if config.sound and silent:
        say(f"{silent:,} of {len(clips):,} videos have no sound: it is read as silence")
    if cropped:
        seconds = config.max_frames / config.frames_per_second
        say(
            f"{cropped:,} of {len(clips):,} videos are longer than {seconds:g} s; the rest of each "
            "is not read (--max-frames, --frames-per-second)"
        )


def _about(clips: pa.Table) -> pa.Table:
    return clips.select(["has_sound", "cropped"])
