"""The sketch classifier's network, in Keras alone, so that Keras's other backends can run it."""

import math
from typing import Any

import keras
from keras import layers, ops

from rnnray.sketch.augmentation import InkAugmentation
from rnnray.sketch.ink_bitmap import InkBitmap, look
from rnnray.sketch.ink_features import InkFeatures
from rnnray.sketch.pooling import StepPooling
from rnnray.sketch.sketch_config import SketchModelConfig


@keras.saving.register_keras_serializable("rnnray")
class DrawnSteps(layers.Layer):  # type: ignore[misc]
    """From padded ink to the mask of the steps, after strided convolutions, that hold drawing.

    Padding is rows of zeros; a drawing's last row never is, since it ends a stroke (third column
    1). Step i after convolutions of total stride s counts as drawn if its first point, i * s, is
    drawn; the first step always does.

    Args:
        stride: product of the convolutions' strides.
        steps: length of the convolutions' output.

    Call: ink float [batch, points, 3] -> bool [batch, steps].
    """

    def __init__(self, stride: int, steps: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride, self.steps = stride, steps

    def call(self, ink: Any) -> Any:
        """See the class."""
        filled = ops.any(ops.not_equal(ink, 0), axis=-1)
        number = ops.arange(1, ink.shape[1] + 1)
        length = ops.max(ops.where(filled, number, 0), axis=1, keepdims=True)
        first_points = ops.arange(0, self.steps * self.stride, self.stride)
        return ops.less(first_points[None, :], ops.maximum(length, 1))

    def compute_output_spec(self, ink: Any) -> Any:
        """Return the shape and dtype of the mask."""
        return keras.KerasTensor((ink.shape[0], self.steps), dtype="bool")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "stride": self.stride, "steps": self.steps}


def build(config: SketchModelConfig, class_count: int, *, unroll: bool = False) -> keras.Model:
    """Return a new classifier: ink [rows, max_points, 3] -> logits [rows, class_count], float32.

    Args:
        config: configuration of the model.
        class_count: number of classes.
        unroll: lay the recurrence out as a straight line of operations. That is twice as fast on a
            CPU, where TensorFlow's loop costs more than its body; a GPU has cuDNN instead.

    Raises:
        ValueError: the convolutions' options differ in length, or no points are left after them.
    """
    ink = drawing = layers.Input((config.max_points, 3), name="ink")
    # What computes with coordinates does so in float32, whatever the precision of the rest.
    if config.augmentation.changes:
        drawing = InkAugmentation(**config.augmentation.model_dump(), dtype="float32")(ink)
    x = drawing
    if config.features:
        x = InkFeatures(config.features, dtype="float32")(drawing)
    x = _strokes(config, x, drawing, unroll=unroll)
    if config.bitmap.size:
        bitmap = InkBitmap(config.bitmap.size, config.bitmap.samples, dtype="float32")(drawing)
        seen = look(
            bitmap,
            config.bitmap.filters,
            momentum=config.normalization_momentum,
            synchronized=config.synchronized,
        )
        x = layers.Concatenate()([x, seen])
    if config.head_dropout:
        x = layers.Dropout(config.head_dropout)(x)
    # Logits in float32 whatever the precision of the rest: softmax loses digits in 16 bits.
    logits = layers.Dense(class_count, dtype="float32", name="logits")(x)
    return keras.Model(ink, logits, name="sketch_classifier")


def _strokes(config: SketchModelConfig, x: Any, drawing: Any, *, unroll: bool) -> Any:
    """Return what convolutions and recurrent layers make of a drawing, [batch, columns].

    Args:
        config: configuration of the model.
        x: their input, [batch, max_points, columns].
        drawing: the ink, which shows the padding.
        unroll: see `build`.
    """
    for number, (filters, kernel_size, stride) in enumerate(
        zip(config.filters, config.kernel_sizes, config.strides, strict=True)
    ):
        x = layers.Conv1D(
            filters,
            kernel_size,
            strides=stride,
            padding="same" if config.same_padding else "valid",
            activation="relu",
            name=f"convolution_{number}",
        )(x)
        if config.batch_normalization:
            x = layers.BatchNormalization(
                momentum=config.normalization_momentum,
                synchronized=config.synchronized,
                name=f"normalization_{number}",
            )(x)
        if config.layer_normalization:
            x = layers.LayerNormalization()(x)

    drawn = mask = None
    if config.mask_padding or config.pooling:
        drawn = DrawnSteps(math.prod(config.strides), x.shape[1])(drawing)
        mask = drawn if config.mask_padding else None
    for number in range(config.layers):
        last = number == config.layers - 1 and not config.pooling
        x = _recurrent(config, number, last=last, unroll=unroll)(x, mask=mask)
        if config.dropout:
            x = layers.Dropout(config.dropout)(x)
    return StepPooling(config.pooling, name="pooling")(x, drawn) if config.pooling else x


def _recurrent(config: SketchModelConfig, number: int, *, last: bool, unroll: bool) -> layers.Layer:
    kind = {"lstm": layers.LSTM, "gru": layers.GRU}[config.recurrent]
    layer = kind(
        config.units,
        return_sequences=not last,
        recurrent_dropout=config.recurrent_dropout,
        unroll=unroll,
        name=f"recurrent_{number}",
    )
    return BothWays(layer, name=f"recurrent_{number}") if config.bidirectional else layer


@keras.saving.register_keras_serializable("rnnray")
class BothWays(layers.Bidirectional):  # type: ignore[misc]
    """Keras's Bidirectional, whose outputs of masked steps have no meaning.

    Keras sets them to zero. If the layer is unrolled, it takes the mask of the backward layer in
    the wrong order (3.15.1), and so sets those of the drawing's beginning to zero.
    """

    def __init__(self, layer: layers.Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.forward_layer.zero_output_for_mask = False
        self.backward_layer.zero_output_for_mask = False
