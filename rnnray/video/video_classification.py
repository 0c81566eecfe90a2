"""Batch classification: videos in, the five most probable classes of each out, as Parquet."""

from functools import partial

import pyarrow as pa

from rnnray import batch_jobs, predictions
from rnnray.training.task import TOP
from rnnray.video.data.training_clips import say_of_clips
from rnnray.video.data.videos import Videos
from rnnray.video.frame_features import CLIPS
from rnnray.video.video_classifier import VideoClassifier, read_checkpoint

SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("true_class", pa.string()),  # null if it lies in no folder of a class
        *predictions.COLUMNS,
    ]
)


_COPIED = ("file", "true_class", "has_sound", "cropped")  # the last two are counted, not written


def _classified(classifier: VideoClassifier, clips: pa.Table) -> pa.Table:
    columns = {name: clips[name] for name in _COPIED}
    logarithms = classifier.log_probabilities(clips)
    return pa.table(columns | predictions.columns(logarithms, classifier.class_names, TOP))


def classify(
    checkpoint: str,
    videos: Videos,
    output: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> int:
    """Classify every video of a source, and write one Parquet file in the source's order.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        videos: an opened source, labelled or not.
        output: path or URI of the file, which appears only when it is whole.
        workers: number of classifying processes; None: see `batch_jobs.mapped`.
        gpu: see there.

    Returns:
        The number of videos.

    Raises:
        UserError: not a checkpoint, a file that cannot be used, or an output that cannot be
            written.
    """
    config, class_names = read_checkpoint(checkpoint)
    load = partial(VideoClassifier, checkpoint)
    clips = videos.dataset("all", config, class_names)
    count, about = batch_jobs.write_parquet(
        batch_jobs.mapped(clips, load, _classified, checkpoint, workers, gpu=gpu, batch_rows=CLIPS),
        SCHEMA,
        output,
        progress="classified {:,} videos",
        nothing=f"{videos.data}: no video can be used; nothing is written",
    )
    say_of_clips(about, config)
    return count
