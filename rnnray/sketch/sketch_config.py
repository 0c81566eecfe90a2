"""The configuration of the sketch classifier, and its presets."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field, model_validator

from rnnray.training.training_config import Config, OptimizerConfig, TrainingConfig

OnBadRecord = Literal["error", "skip"]


class AugmentationConfig(Config):
    """Random changes to drawings in training, other ones in each epoch; none where all are 0.

    The same seed gives the same changes, on any number of workers.
    """

    rotation: Annotated[float, Ge(0), Le(180)] = 0.0
    """Degrees by which a drawing is turned, at most, to either side."""
    scale: Annotated[float, Ge(0), Le(1)] = 0.0
    """Each axis is scaled by 1 / (1 + scale) to 1 + scale; then the drawing fills its box again, so
    that only those differ that are turned or sheared, too."""
    shear: Annotated[float, Ge(0), Le(1)] = 0.0
    """x grows by up to this many times y."""
    mirror: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of drawings that are mirrored, left to right."""
    drop_strokes: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of strokes that are left out; one of each drawing stays in any case."""
    drop_points: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of points that are left out between the ends of a stroke."""
    jitter: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of the drawing's size by which each coordinate of a point moves, at most."""
    reorder: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of drawings whose strokes come in another order."""

    @property
    def changes(self) -> bool:
        """Whether anything is changed."""
        return any(self.model_dump().values())


class BitmapConfig(Config):
    """The second branch of the classifier: a convolutional network over the drawing as a bitmap,
    which the model draws from the strokes."""

    size: Annotated[int, Ge(0), Le(224)] = 0
    """Width and height of the bitmap in pixels; 0 for no such branch."""
    samples: Annotated[int, Ge(16), Le(4096)] = 320
    """Dots that a drawing's lines are made of; at 40 pixels, 320 leave no gaps."""
    filters: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (48, 96, 192, 256)
    """Filters of each convolution, the first 5 x 5, the others 3 x 3; each halves the bitmap."""


class SketchModelConfig(Config):
    """The classifier: strided convolutions over ink, then recurrent layers, beside them perhaps
    a network over a bitmap, then a dense layer."""

    max_points: Annotated[int, Ge(20), Le(2000)] = 100
    """Points that a drawing is cropped to; shorter ones are padded."""
    long_drawings: Literal["crop", "simplify"] = "crop"
    """Drawings of more points lose their end (crop), or those points all along that matter least
    (simplify)."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Changes to the drawings in training."""
    features: tuple[Literal["position", "direction", "strokes"], ...] = ()
    """What the model derives of the steps and reads beside them: position in the drawing's box;
    direction and length of each step; whether the pen was up, the stroke's number, and the share of
    the drawing that is done."""
    filters: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (32, 64, 128)
    """Filters of each convolution."""
    kernel_sizes: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (5, 5, 3)
    """Kernel size of each convolution, in points."""
    strides: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (2, 2, 2)
    """Stride of each convolution."""
    batch_normalization: bool = True
    """Batch normalisation after each convolution."""
    normalization_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99
    """Share of the old in each step of the moving statistics; 0.99 needs about 1,000 steps."""
    synchronized: bool = False
    """Batch statistics over all workers instead of each worker's own rows."""
    layer_normalization: bool = False
    """Layer normalisation after each convolution."""
    recurrent: Literal["lstm", "gru"] = "lstm"
    """The kind of recurrent layer."""
    units: Annotated[int, Ge(1)] = 128
    """Size of each recurrent layer, in each direction."""
    layers: Annotated[int, Ge(1), Le(8)] = 2
    """Number of recurrent layers."""
    bidirectional: bool = False
    """Recurrent layers read the drawing from both ends."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the recurrent layers' outputs that is dropped in training."""
    recurrent_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the recurrent state that is dropped in training; slower, no cuDNN."""
    mask_padding: bool = False
    """The recurrent layers skip the padding behind a drawing's end."""
    same_padding: bool = False
    """Convolutions pad their ends, so that none of the drawing falls off."""
    pooling: tuple[Literal["mean", "max", "attention"], ...] = ()
    """What is taken of the last recurrent layer, over all steps with drawing: their mean, maximum,
    or a mean with learned weights, side by side; empty for its last state."""
    bitmap: BitmapConfig = BitmapConfig()
    """The bitmap branch."""
    head_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of what both branches give that is dropped in training, before the last layer."""

    @model_validator(mode="after")
    def _convolutions_fit(self) -> Self:
        if not len(self.filters) == len(self.kernel_sizes) == len(self.strides):
            raise ValueError("filters, kernel_sizes and strides must be equally many")
        for name, values in (("features", self.features), ("pooling", self.pooling)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice")
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
    """demo or demo:COUNT, quickdraw, or a path or URI of files of drawings (README)."""
    recognized_only: bool = False
    """Leave out drawings that the game did not recognise ("recognized" is false)."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: the drawings of every class count equally in training, however many it has; their
    weights average 1, so that training loss and metrics are means over classes."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of each target that is spread over all classes in training; losses are told without."""
    model: SketchModelConfig = SketchModelConfig()
    """The model."""


def notebook() -> SketchConfig:
    """The book's model, to the letter.

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
    """What we recommend: masked, bidirectional, AdamW with warm-up and cosine, batches of 256."""
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
