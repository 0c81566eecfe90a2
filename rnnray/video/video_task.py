"""The video classifier as a task of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.training import model_card, task_files
from rnnray.training.checkpoints import CLASSES
from rnnray.training.model_card import ModelCard
from rnnray.training.task import ClassifierTask
from rnnray.video.data import clip_table
from rnnray.video.video_config import FEATURES, VideoConfig

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class VideoTask(ClassifierTask):
    """Classify videos into `class_names`."""

    config: VideoConfig
    class_names: tuple[str, ...]

    row_unit: ClassVar[str] = "videos"
    unit: ClassVar[str] = "videos"
    evaluation_rows: ClassVar[int] = 32
    unrolls: ClassVar[bool] = True

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """Return a new classifier."""
        from rnnray.video import video_model  # noqa: PLC0415  (imports Keras)

        return video_model.build(self.config, len(self.class_names), unroll=unroll)

    def batch(
        self, rows: pa.Table
    ) -> tuple[tuple[npt.NDArray[Any], ...], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return `inputs_of` a clip table, class indices int64 [rows], weights of 1."""
        classes = rows["class_index"].to_numpy()
        return inputs_of(rows, self.config), classes, np.ones(len(rows), np.float32)

    def checkpoint_files(self) -> Mapping[str, str]:
        """Return the configuration, the class names, and the model card."""
        return task_files.files_of(self.config, self._card(), self.class_names)

    def _card(self) -> ModelCard:
        names = ", ".join(map(model_card.code, self.class_names))
        config = self.config
        return ModelCard(
            title="Video classifier",
            does=(
                f"Takes the first {config.max_frames} frames of a video, "
                f"{config.frames_per_second:g} a second, {'with' if config.sound else 'without'} "
                f"their sound, and gives a probability for each of {len(self.class_names)} "
                f"classes, in the order of `{CLASSES}`: {names}."
            ),
            data=(
                f"Videos of {model_card.code(config.data)}. {model_card.split_text(config.split)} "
                "Validation selects the checkpoint; test videos are not seen in training."
            ),
            licence=(
                "`demo` videos are generated. Other videos carry the licence of whoever made them. "
                "The frames' network `xception`, if it is used, carries Keras's licence, "
                "Apache-2.0, and was trained on ImageNet."
            ),
            not_for=(
                "Decisions about people, and their surveillance. Videos of other things than the "
                "classes: one of them is named in any case, and the probability is no measure of "
                "whether the video shows any. What happens between two frames, or after the last."
            ),
        )


def inputs_of(rows: pa.Table, config: VideoConfig) -> tuple[npt.NDArray[Any], ...]:
    """Return what the model reads of a clip table.

    Returns:
        Frames uint8 [rows, max_frames, size, size, 3], or for xception its outputs float32 [rows,
        max_frames, 2048]; which of them are shown, bool [rows, max_frames]; and unless the
        configuration reads none, the sound int16 [rows, max_frames, samples].
    """
    length, size = config.max_frames, config.frame_size
    if config.model.frames == "xception":
        frames = clip_table.padded(rows, "frames", length, (FEATURES,), np.float32)
    else:
        frames = clip_table.padded(rows, "frames", length, (size, size, 3), np.uint8)
    inputs = frames, clip_table.shown(rows, length)
    if not config.sound:
        return inputs
    return *inputs, clip_table.padded(rows, "sound", length, (config.samples(),), np.int16)
