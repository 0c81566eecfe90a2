"""The configuration of the video classifier, and its presets."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import Field, model_validator

from rnnray.training.training_options import Config, OptimizerConfig, Split, TrainingConfig

OnBadFile = Annotated[
    Literal["error", "skip"],
    Field(
        description="Handling of files that cannot be decoded: error ends the job at the first "
        "one; skip counts them and continues."
    ),
]
Sizes = Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)]
FEATURES = 2048
"""Size of a frame's vector from Xception."""
_XCEPTION_SIZE = 299
_XCEPTION_LEAST = 71  # pixels; with fewer, nothing is left after its convolutions


class ClipConfig(Config):
    """Clip of a video: a few small frames, and the sound of each."""

    frames_per_second: Annotated[float, Gt(0), Le(30)] = 1.0
    """Number of frames that are read of each second, by their timestamps."""
    max_frames: Annotated[int, Ge(1), Le(1000)] = 10
    """Number of frames of a clip; what comes after them in a video is not read."""
    frame_size: Annotated[int, Ge(16), Le(512)] = 64
    """Width and height of a frame, to which pictures of any shape are resized, in pixels."""
    sound: bool = True
    """Read the sound of each frame too: the samples until the next frame."""
    sound_rate: Annotated[int, Ge(1000), Le(48_000)] = 8000
    """Samples a second of the sound, to which all channels together are resampled."""

    def samples(self) -> int:
        """Return the number of samples of a frame's sound."""
        return max(1, round(self.sound_rate / self.frames_per_second))


class VideoModelConfig(Config):
    """The classifier: a network for each frame, then a recurrent one over the frames."""

    frames: Literal["cnn", "xception"] = "cnn"
    """Network that looks at each frame: cnn, a small one that is trained with the rest; or xception
    (Chollet, 2017), trained on ImageNet, whose outputs are computed once and stored."""
    filters: Sizes = (16, 32, 48, 64)
    """cnn: number of filters of each convolution; the first has 5 x 5 pixels, the others 3 x 3, and
    each halves the frame."""
    frame_units: Annotated[int, Ge(1)] = 64
    """cnn: size of a frame's vector."""
    sound_filters: Sizes = (32, 32, 32)
    """Number of filters of each convolution over the sound of a frame; the first has 64 samples and
    a stride of 8, the others 8 and a stride of 4. Their mean joins the frame's vector."""
    recurrent: Literal["gru", "lstm", "mean"] = "gru"
    """Kind of the recurrent layers; mean takes the mean of all frames instead, whatever their
    order."""
    units: Annotated[int, Ge(1)] = 64
    """Size of each recurrent layer."""
    layers: Annotated[int, Ge(1), Le(8)] = 1
    """Number of recurrent layers."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of the outputs of the recurrent layers that is dropped in training."""


class VideoConfig(ClipConfig, TrainingConfig):
    """Model, clips and training of the video classifier, which determine its result."""

    data: Annotated[str, Field(min_length=1)] = "demo"
    """Videos: a path or URI of a folder with a folder of videos for each class, demo or
    demo:COUNT."""
    split: Split | None = None
    """Shares of the splits in percent, TRAIN:VALIDATION:TEST, for videos without folders of splits;
    by a hash of the files' names, within each class. Without it, 80:10:10."""
    shuffle_rows: Annotated[int, Ge(0)] = 256
    """Least number of clips that each epoch permutes together, after all were mixed once; 0 keeps
    the order of the data and does not mix them at all."""
    model: VideoModelConfig = VideoModelConfig()
    """The model."""

    @model_validator(mode="after")
    def _xception_needs_pixels(self) -> Self:
        if self.model.frames == "xception" and self.frame_size < _XCEPTION_LEAST:
            raise ValueError(
                f"frames xception needs a frame_size of {_XCEPTION_LEAST} at least; it was trained "
                f"with {_XCEPTION_SIZE}"
            )
        return self


def strong() -> VideoConfig:
    """Return the recommended configuration without downloads: a small network for the frames."""
    return VideoConfig(
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=2e-3,
            weight_decay=1e-2,
            schedule="cosine",
            warmup_share=0.05,
            clip="global",
            clip_norm=1.0,
        ),
        epochs=8,
        global_batch_size=32,
    )


def xception() -> VideoConfig:
    """Return the book's answer: Xception for the frames, a recurrent network over its outputs.

    A. Géron, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow, 3rd edition,
    chapter 15, exercise 8.
    """
    config = strong()
    model = config.model.model_copy(update={"frames": "xception", "units": 128, "dropout": 0.3})
    return config.model_copy(update={"model": model, "frame_size": _XCEPTION_SIZE})


PRESETS = {"strong": strong, "xception": xception}
Preset = Annotated[
    Literal["strong", "xception"],
    Field(
        description="Preset that gives the other defaults: strong, a small network for the frames, "
        "trained with the rest; or xception, the book's, whose weights Keras downloads."
    ),
]
