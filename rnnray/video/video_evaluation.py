"""Evaluation of a video classifier: every video of a split counts once."""

from functools import partial

import pyarrow as pa

from rnnray import batch_jobs
from rnnray.class_evaluation import Evaluation, evaluated, judged
from rnnray.video.data.videos import Videos
from rnnray.video.frame_features import CLIPS
from rnnray.video.video_classifier import VideoClassifier, read_checkpoint


def _judge(classifier: VideoClassifier, clips: pa.Table) -> pa.Table:
    return judged(clips, classifier.log_probabilities(clips), clips["cropped"])


def evaluate(
    checkpoint: str,
    videos: Videos,
    split: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on a split of a source.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        videos: an opened source with the checkpoint's classes.
        split: train, validation, test or all.
        workers: number of classifying processes; None: see `batch_jobs.mapped`.
        gpu: see there.

    Raises:
        UserError: not a checkpoint, a file that cannot be used, no videos, or a loss that is not
            finite.
    """
    config, class_names = read_checkpoint(checkpoint)
    load = partial(VideoClassifier, checkpoint)
    clips = videos.dataset(split, config, class_names)
    return evaluated(
        batch_jobs.mapped(clips, load, _judge, checkpoint, workers, gpu=gpu, batch_rows=CLIPS),
        len(class_names),
        unit="videos",
        nothing=f"{videos.data}: no video of the {split} split can be used",
        model=f"{checkpoint}: the loss on the {split} split",
    )
