"""Training the video classifier, from a source of videos to a checkpoint and its plots."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnnray import storage
from rnnray.class_evaluation import Evaluation, summary
from rnnray.confusion_plot import confusion_matrix
from rnnray.predictions import top_classes
from rnnray.progress import say
from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.run_report import learning_curves
from rnnray.training.training_options import RunOptions
from rnnray.video import video_plots
from rnnray.video.data import clip_table
from rnnray.video.data.training_clips import training_data
from rnnray.video.data.videos import Videos
from rnnray.video.video_classifier import VideoClassifier
from rnnray.video.video_config import VideoConfig
from rnnray.video.video_evaluation import evaluate
from rnnray.video.video_task import VideoTask

_PREDICTED = 12
_CACHE = "cache"


def train(config: VideoConfig, videos: Videos, options: RunOptions) -> dict[str, Any]:
    """Train, evaluate the best checkpoint on the held-out test split, draw plots.

    Args:
        config: the model and how to train it.
        videos: the opened source; its `validation` split selects the best checkpoint.
        options: where to train, and on how many workers.

    Returns:
        top1, top5, loss and count on the test split (on validation if there is no test split), and
        the paths of the written files.

    Raises:
        UserError: see `training_clips.training_data` and `rnnray.training.driver.train`.
    """
    split = "test" if videos.splits["test"] else "validation"
    if split == "validation":
        say(
            "no videos in the test split: the best checkpoint will be evaluated on the validation "
            "split only"
        )
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    gpu = options.wants_gpu()
    data = training_data(videos, config, storage.join(folder, _CACHE), gpu=gpu)
    run = driver.train(VideoTask(config, videos.class_names), config, options, data)
    say(f"evaluating the best checkpoint on the {split} split")
    evaluation = evaluate(run.best, videos, split, gpu=gpu)
    pictures = _draw(run, config, videos, split, evaluation)
    return summary(run, evaluation, split, pictures)


def _draw(
    run: TrainedRun, config: VideoConfig, videos: Videos, split: str, evaluation: Evaluation
) -> str:
    """Draw the plots beside the checkpoints; return the path or URI of their folder."""
    names = videos.class_names
    batches = videos.dataset(split, config).limit(_PREDICTED)
    clips = pa.concat_tables(batches.iter_batches(batch_size=None, batch_format="pyarrow"))
    order, probabilities = top_classes(VideoClassifier(run.best).log_probabilities(clips), 1)
    size = config.frame_size
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learning_curves(
            folder / "learning_curves.png",
            run.history,
            metric_names=VideoTask.metric_names,
            score=VideoTask.score,
            share_label="share of videos",
        )
        confusion_matrix(folder / "confusions.png", evaluation.confusion, names, unit="videos")
        video_plots.predictions(
            folder / "predictions.png",
            clip_table.arrays(clips, "frames", (size, size, 3), np.uint8),
            clips["true_class"].to_pylist(),
            [names[index] for index in order[:, 0]],
            probabilities[:, 0].tolist(),
        )
        target = storage.join(run.folder, "pictures")
        storage.copy_folder(folder, target)
    return target
