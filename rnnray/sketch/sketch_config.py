"""The configuration of the sketch classifier, and its presets."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field, model_validator

from rnnray.training.training_options import Config, OptimizerConfig, TrainingConfig

OnBadRecord = Literal["error", "skip"]


class SketchModelConfig(Config):
    """The classifier: strided convolutions over ink, then recurrent layers, then a dense one."""

    max_points: Annotated[int, Ge(20), Le(2000)] = 100
    """Number of points that a drawing is cropped to; shorter drawings are padded."""
    filters: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (32, 64, 128)
    """Number of filters of each convolution."""
    kernel_sizes: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (5, 5, 3)
    """Kernel size of each convolution, in points."""
    strides: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (2, 2, 2)
    """Stride of each convolution."""
    batch_normalization: bool = True
    """Apply batch normalisation after each convolution."""
    normalization_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99
    """Momentum of batch normalisation's moving statistics; 0.99 needs about 1,000 steps to
    settle."""
    synchronized: bool = False
    """Compute batch statistics over all workers instead of over each worker's own rows."""
    layer_normalization: bool = False
    """Apply layer normalisation after each convolution."""
    recurrent: Literal["lstm", "gru"] = "lstm"
    """Kind of the recurrent layers."""
    units: Annotated[int, Ge(1)] = 128
    """Size of each recurrent layer, in each direction."""
    layers: Annotated[int, Ge(1), Le(8)] = 2
    """Number of recurrent layers."""
    bidirectional: bool = False
    """Read the drawing from both ends in the recurrent layers."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the recurrent layers' outputs that is dropped in training."""
    recurrent_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the recurrent state that is dropped in training; slower, since cuDNN cannot do
    it."""
    mask_padding: bool = False
    """Skip the padding after a drawing's end in the recurrent layers."""
    same_padding: bool = False
    """Pad the ends of each convolution's input, so that no part of the drawing is lost."""

    @model_validator(mode="after")
    def _convolutions_fit(self) -> Self:
        if not len(self.filters) == len(self.kernel_sizes) == len(self.strides):
            raise ValueError("filters, kernel_sizes and strides must have the same length")
        points = self.max_points
        for kernel_size, stride in zip(self.kernel_sizes, self.strides, strict=True):
            lost = 0 if self.same_padding else kernel_size - 1
            points = -(-(points - lost) // stride)
            if points < 1:
                raise ValueError("the convolutions leave no step; use smaller kernels or strides")
        return self


class SketchConfig(TrainingConfig):
    """What determines the result of training the sketch classifier."""

    data: Annotated[str, Field(min_length=1)] = "demo"
    """Drawings: demo, demo:COUNT, quickdraw, or a path or URI (formats: README)."""
    recognized_only: bool = False
    """Leave out drawings that the game did not recognise ("recognized" is false)."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the classes in training. balanced lets all classes count equally, whatever their
    number of drawings; the weights average 1, so training loss and metrics are means over
    classes."""
    model: SketchModelConfig = SketchModelConfig()
    """The model."""


def notebook() -> SketchConfig:
    """Return the book's configuration, to the letter.

    A. Géron, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow, 3rd edition,
    chapter 15, exercise 9: 42.5 % top-1 and 71.4 % top-5 after 2 epochs over the 3.45 million
    drawings of the tutorial's archive. On the project's sample of 103,374 drawings, 4 epochs of the
    book's own code gave 2.7 % and 9.9 %.
    """
    return SketchConfig(
        optimizer=OptimizerConfig(name="sgd", learning_rate=1e-2, clip="variable", clip_norm=1.0),
        epochs=2,
        global_batch_size=32,
    )


def strong() -> SketchConfig:
    """Return the recommended configuration: masked, bidirectional, AdamW, batches of 256."""
    return SketchConfig(
        model=SketchModelConfig(
            bidirectional=True,
            mask_padding=True,
            same_padding=True,
            dropout=0.2,
            normalization_momentum=0.9,
        ),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=3e-3,
            weight_decay=1e-2,
            schedule="cosine",
            warmup_share=0.05,
            clip="global",
            clip_norm=1.0,
        ),
        epochs=8,
        global_batch_size=256,
    )


PRESETS = {"strong": strong, "notebook": notebook}
