"""A trained video classifier, loaded from a checkpoint and ready to classify."""

from typing import Any

import numpy.typing as npt
import pyarrow as pa

from rnnray import predictions, storage
from rnnray.predictions import ClassProbability, Floats
from rnnray.training import checkpoints, strategy, task_files
from rnnray.video.data import clip_table, video_file
from rnnray.video.frame_features import Xception
from rnnray.video.video_config import VideoConfig
from rnnray.video.video_task import inputs_of

_ROWS = 32  # of every batch; see `predictions`
_WHAT = "the video classifier"


def read_checkpoint(uri: str) -> tuple[VideoConfig, tuple[str, ...]]:
    """Return the configuration and the class names of a video classifier's checkpoint.

    Raises:
        UserError: the folder is no such checkpoint.
    """
    config = task_files.read_config(uri, VideoConfig, _WHAT, "train_video")
    return config, task_files.read_classes(uri, _WHAT)


class VideoClassifier:
    """The classifier of a checkpoint.

    Args:
        checkpoint: path or URI of the checkpoint's folder.
        threads: number of computing threads; 0 for one a CPU.

    Raises:
        UserError: the folder is not a checkpoint of the video classifier, or Xception's weights
            are needed and cannot be loaded.
    """

    def __init__(self, checkpoint: str, *, threads: int = 0) -> None:
        self.config, self.class_names = read_checkpoint(checkpoint)
        strategy.configure_devices(threads)
        import tensorflow as tf  # noqa: PLC0415

        from rnnray.video import video_model  # noqa: F401, PLC0415  (registers our layers)

        self.model = checkpoints.fetch_model(checkpoint)
        frozen = self.config.model.frames == "xception"
        self._xception = Xception(self.config.frame_size, threads=threads) if frozen else None
        self._logits = tf.function(
            lambda *inputs: self.model(inputs, training=False),
            input_signature=[
                tf.TensorSpec([_ROWS, *each.shape[1:]], each.dtype) for each in self.model.inputs
            ],
            autograph=False,
        )

    def classify(self, path: str, *, top: int = 5) -> list[ClassProbability]:
        """Return the most probable classes of a video file, the most probable first.

        Args:
            path: path or URI of the file.
            top: number of classes; fewer if the checkpoint has fewer.

        Raises:
            UserError: the file is no video, or a damaged one.
        """
        filesystem, within = storage.open_uri(path)
        with filesystem.open_input_file(within) as file:
            clip = video_file.read(file, path, self.config)
        rows = clip_table.from_clip(clip, path, None, self.class_names)
        return predictions.named(self.log_probabilities(rows), self.class_names, top)

    def log_probabilities(self, clips: pa.Table) -> Floats:
        """Return the natural logarithms of the probabilities: float32 [clips, classes]."""
        batches = (self._inputs(clips.slice(start, _ROWS)) for start in range(0, len(clips), _ROWS))
        logits = predictions.outputs_of(self._logits, batches, _ROWS, len(self.class_names))
        return predictions.log_probabilities(logits)

    def _inputs(self, clips: pa.Table) -> tuple[npt.NDArray[Any], ...]:
        seen = self._xception.features_of(clips) if self._xception else clips
        return inputs_of(seen, self.config)
