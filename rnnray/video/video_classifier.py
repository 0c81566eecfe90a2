"""A trained video classifier, loaded from a checkpoint and ready to classify."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from rnnray import devices, storage
from rnnray.errors import UserError
from rnnray.training import checkpoints, strategy
from rnnray.video.data import clip_table, video_file
from rnnray.video.frame_features import Xception
from rnnray.video.video_config import VideoConfig
from rnnray.video.video_task import CLASSES_FILE, CONFIG_FILE, inputs_of
from rnnray.yaml_file import read_mapping

# Rows of every batch, filled up if needed: one shape is compiled once, and no result depends on the
# other rows.
_ROWS = 32


def read_checkpoint(uri: str) -> tuple[VideoConfig, tuple[str, ...]]:
    """Return the configuration and the class names of a video classifier's checkpoint.

    Raises:
        UserError: the folder is no such checkpoint.
    """
    config = storage.read_bytes(storage.join(uri, CONFIG_FILE))
    classes = storage.read_bytes(storage.join(uri, CLASSES_FILE))
    if config is None or classes is None:
        missing = CONFIG_FILE if config is None else CLASSES_FILE
        raise UserError(
            f"{uri}: not a checkpoint of the video classifier: it has no {missing}; checkpoints "
            "are the folders named epoch-* below --storage-path/--name"
        )
    try:
        checked = VideoConfig.model_validate(read_mapping(config, CONFIG_FILE))
    except (UserError, ValidationError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem else error
        raise UserError(f"{uri}/{CONFIG_FILE}: not the video classifier's ({reason})") from error
    return checked, tuple(classes.decode(errors="replace").split("\n")[:-1])


class ClassProbability(NamedTuple):
    """Name of a class, and the probability from 0 to 1 that a video shows it."""

    name: str
    probability: float


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

        with tempfile.TemporaryDirectory() as temporary:
            folder = storage.fetch_folder(checkpoint, Path(temporary))
            self.model = checkpoints.load_model(folder)
        frozen = self.config.model.frames == "xception"
        self._xception = Xception(self.config.frame_size, threads=threads) if frozen else None
        self._logits = tf.function(
            lambda *inputs: self.model(inputs, training=False),
            input_signature=[
                tf.TensorSpec([_ROWS, *each.shape[1:]], each.dtype) for each in self.model.inputs
            ],
        )

    def classify(self, path: str, *, top: int = 5) -> list[ClassProbability]:
        """Return the most probable classes of a video file, the most probable first.

        Args:
            path: path or URI of the file.
            top: number of classes; fewer if the checkpoint has fewer.

        Raises:
            UserError: the file is no video, or a damaged one.
        """
        filesystem, place = storage.open_uri(path)
        with filesystem.open_input_file(place) as file:
            clip = video_file.read(file, path, self.config)
        rows = clip_table.from_clip(clip, path, None, self.class_names)
        order, probabilities = self.top_classes(rows, top)
        return [
            ClassProbability(self.class_names[index], float(probability))
            for index, probability in zip(order[0], probabilities[0], strict=True)
        ]

    def top_classes(
        self, clips: pa.Table, top: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the classes of each clip of a clip table, the most probable first.

        Args:
            clips: a clip table.
            top: number of classes.

        Returns:
            int64 [clips, top] class indices and float32 [clips, top] probabilities; fewer columns
            if there are fewer classes.
        """
        scores = self.log_probabilities(clips)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return order, np.exp(np.take_along_axis(scores, order, axis=1))

    def log_probabilities(self, clips: pa.Table) -> npt.NDArray[np.float32]:
        """Return the natural logarithms of the probabilities: float32 [clips, classes]."""
        parts = [np.zeros((0, len(self.class_names)), np.float32)]
        for start in range(0, len(clips), _ROWS):
            rows = clips.slice(start, _ROWS)
            rows = self._xception.features_of(rows) if self._xception else rows
            whole = [
                np.resize(each, (_ROWS, *each.shape[1:])) for each in inputs_of(rows, self.config)
            ]
            logits = self._logits(*whole).numpy()[: len(rows)].astype(np.float32)
            shifted = logits - logits.max(1, keepdims=True)
            parts.append(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
        return np.concatenate(parts)


class ClassifyingActor:
    """Base of the actors of batch jobs; loads its classifier with the first batch.

    Not in the constructor: Ray passes on only the text of a failure there, and starts the actor
    again.
    """

    def __init__(self, checkpoint: str, actors: int) -> None:
        self._checkpoint, self._actors = checkpoint, actors

    @cached_property
    def classifier(self) -> VideoClassifier:
        """The checkpoint's classifier, with threads for its share of this node's CPUs."""
        threads = max(1, devices.node_cpus() // self._actors)
        return VideoClassifier(self._checkpoint, threads=threads)
