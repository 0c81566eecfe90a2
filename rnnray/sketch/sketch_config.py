"""The configuration of the sketch classifier, and its presets."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field, model_validator

from rnnray.training.training_options import Config, OptimizerConfig, TrainingConfig

OnBadRecord = Annotated[
    Literal["error", "skip"],
    Field(
        description="Handling of drawings that cannot be used: error ends the job at the first "
        "one; skip counts them and continues."
    ),
]


class AugmentationConfig(Config):
    """Random changes to the drawings in training, new ones in each epoch; none if all are 0.

    The same seed gives the same changes, on any number of workers.
    """

    rotation: Annotated[float, Ge(0), Le(180)] = 0.0
    """Largest rotation to either side, in degrees."""
    scale: Annotated[float, Ge(0), Le(1)] = 0.0
    """Largest scaling of each axis: by 1 / (1 + scale) to 1 + scale. The drawing then fills its box
    again, so scaling shows only together with rotation or shear."""
    shear: Annotated[float, Ge(0), Le(1)] = 0.0
    """Largest shear: x grows by up to this many times y."""
    mirror: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of drawings that are mirrored, left to right."""
    drop_strokes: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of strokes that are left out; each drawing keeps at least one."""
    drop_points: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the points between the ends of a stroke that are left out."""
    jitter: Annotated[float, Ge(0), Le(1)] = 0.0
    """Largest change of each coordinate of a point, as a share of the drawing's size."""
    reorder: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of drawings whose strokes are put into a random order."""

    @property
    def changes(self) -> bool:
        """True if anything is changed."""
        return any(self.model_dump().values())


class BitmapConfig(Config):
    """The second branch of the classifier: convolutions over a bitmap of the drawing, which the
    model renders from the strokes."""

    size: Annotated[int, Ge(0), Le(224)] = 0
    """Width and height of the bitmap in pixels; 0 leaves the branch out."""
    samples: Annotated[int, Ge(16), Le(4096)] = 320
    """Number of dots that make up the lines of a drawing; at 40 pixels, 320 leave no gaps."""
    filters: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (48, 96, 192, 256)
    """Number of filters of each convolution; the first has 5 x 5 pixels, the others 3 x 3, and each
    halves the bitmap."""


class SketchModelConfig(Config):
    """The classifier: strided convolutions over ink, then recurrent layers, beside them perhaps
    a network over a bitmap, then a dense layer."""

    max_points: Annotated[int, Ge(20), Le(2000)] = 100
    """Number of points of a drawing that the model reads; shorter drawings are padded."""
    long_drawings: Literal["crop", "simplify"] = "crop"
    """Treatment of drawings with more points: crop cuts their end off, simplify leaves out the
    points along all of the drawing that change it least."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Random changes to the drawings in training."""
    features: tuple[Literal["position", "direction", "strokes"], ...] = ()
    """Features that the model derives from the ink and reads beside it: position in the drawing's
    box; direction and length of each step; whether the pen was up, the number of the stroke, and
    the share of the drawing that is done."""
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
    pooling: tuple[Literal["mean", "max", "attention"], ...] = ()
    """Pooling of the last recurrent layer over the steps of the drawing: mean, maximum, mean with
    learned weights, concatenated if there are several; if empty, its last state is used."""
    bitmap: BitmapConfig = BitmapConfig()
    """The bitmap branch."""
    head_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dropout before the last layer, on the concatenated outputs of both branches."""

    @model_validator(mode="after")
    def _convolutions_fit(self) -> Self:
        if not len(self.filters) == len(self.kernel_sizes) == len(self.strides):
            raise ValueError("filters, kernel_sizes and strides must have the same length")
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
    """Options that determine the result of training the sketch classifier."""

    data: Annotated[str, Field(min_length=1)] = "demo"
    """Drawings: demo, demo:COUNT, quickdraw, or a path or URI (formats: README)."""
    recognized_only: bool = False
    """Leave out drawings that the game did not recognise ("recognized" is false)."""
    y_up: bool = False
    """Read the files' y as growing upwards, as in mathematics, and not downwards, as on screens."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the classes in training. balanced lets all classes count equally, whatever their
    number of drawings; the weights average 1, so training loss and metrics are means over
    classes."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of each training target that is spread over all classes; reported losses leave it
    out."""
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
    """Return the recommended configuration: strokes and bitmap, augmentation, averaged weights.

    2.2 million weights. `jobs/train_sketch.py --data FOLDER` with the project's sample (103,374
    drawings, 300 a category) reached 69.8 % top-1 and 91.3 % top-5 on validation, 69.6 % and 91.1 %
    on test, in 62 minutes on two busy cores; trained/README.md has the epochs.
    """
    return SketchConfig(
        model=SketchModelConfig(
            long_drawings="simplify",
            augmentation=AugmentationConfig(
                rotation=15,
                scale=0.2,
                shear=0.2,
                mirror=0.5,
                drop_strokes=0.1,
                drop_points=0.1,
                jitter=0.01,
                reorder=0.1,
            ),
            features=("position", "direction", "strokes"),
            filters=(64, 96, 128),
            strides=(2, 2, 1),
            normalization_momentum=0.9,
            units=160,
            bidirectional=True,
            dropout=0.3,
            mask_padding=True,
            same_padding=True,
            pooling=("mean", "max", "attention"),
            bitmap=BitmapConfig(size=40),
            head_dropout=0.3,
        ),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=3e-3,
            weight_decay=1e-2,
            schedule="cosine",
            warmup_share=0.05,
            clip="global",
            clip_norm=1.0,
            average_momentum=0.998,
        ),
        label_smoothing=0.1,
        epochs=14,
        global_batch_size=256,
    )


def quick() -> SketchConfig:
    """Return the recommended configuration for little time: `strong` without a bitmap, smaller.

    0.9 million weights; a step takes about a third of the time of one of `strong`.
    """
    config = strong()
    smaller = {"bitmap": BitmapConfig(), "filters": (32, 64, 128), "strides": (2, 2, 2)}
    less = {"units": 128, "dropout": 0.2, "head_dropout": 0.2}
    model = config.model.model_copy(update=smaller | less)
    return config.model_copy(update={"model": model, "epochs": 8})


def full() -> SketchConfig:
    """Return a configuration for all 50 million drawings and for GPUs: `strong`, larger.

    Nobody has trained it to the end; a few steps were run on a CPU. Its choices differ from those
    of `strong` because 70,000 drawings a category cannot be learned by heart in 4 epochs:

    - 14 million weights instead of 2.2: more units and layers, and a bitmap of 64 pixels.
    - Dropout, label smoothing and augmentation shrink; rare points and strokes are dropped less.
    - 160 points, so that fewer than 1 % of the drawings are simplified further.
    - Batches of 1,024, which keep a GPU busy, and an average over more of the many steps.
    - No unrolling is needed there: on a GPU the recurrent layers run in cuDNN.
    """
    config = strong()
    augmentation = config.model.augmentation.model_copy(
        update={"drop_strokes": 0.05, "drop_points": 0.05, "reorder": 0.05}
    )
    larger = {"max_points": 160, "filters": (96, 192, 256), "units": 384, "layers": 3}
    bitmap = BitmapConfig(size=64, samples=640, filters=(64, 128, 256, 512, 512))
    less = {"dropout": 0.1, "head_dropout": 0.1, "augmentation": augmentation}
    model = config.model.model_copy(update=larger | {"bitmap": bitmap} | less)
    optimizer = config.optimizer.model_copy(
        update={"average_momentum": 0.9998, "warmup_share": 0.02}
    )
    return config.model_copy(
        update={
            "model": model,
            "optimizer": optimizer,
            "label_smoothing": 0.05,
            "epochs": 4,
            "global_batch_size": 1024,
        }
    )


PRESETS = {"strong": strong, "quick": quick, "full": full, "notebook": notebook}
Preset = Annotated[
    Literal["strong", "quick", "full", "notebook"],
    Field(
        description="Preset that gives the other defaults: strong, which we recommend; quick, "
        "which is smaller and trains in a fifth of the time; full, which is larger, for millions "
        "of drawings and GPUs; or notebook, the book's."
    ),
]
