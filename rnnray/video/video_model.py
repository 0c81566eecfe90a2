"""The video classifier's network, in Keras alone, so that Keras's other backends can run it."""

from typing import Any

import keras
from keras import layers, ops

from rnnray.video.video_config import FEATURES, VideoConfig, VideoModelConfig

_SOUND_KERNELS, _SOUND_STRIDES = (64, 8), (8, 4)  # of the first convolution, of the others


@keras.saving.register_keras_serializable("rnnray")
class FramesApart(layers.Layer):  # type: ignore[misc]
    """From clips to their frames, which a network then sees one by one: [clips, frames, ...] ->
    [clips * frames, ...].
    """

    def call(self, clips: Any) -> Any:
        """See the class."""
        return ops.reshape(clips, (-1, *clips.shape[2:]))

    def compute_output_spec(self, clips: Any) -> Any:
        """Return the shape and dtype of the frames."""
        return keras.KerasTensor((None, *clips.shape[2:]), dtype=clips.dtype)


@keras.saving.register_keras_serializable("rnnray")
class FramesTogether(layers.Layer):  # type: ignore[misc]
    """From the vectors of frames to those of clips: [clips * frames, units] -> [clips, frames,
    units].

    Args:
        frames: number of frames of a clip.
    """

    def __init__(self, frames: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, vectors: Any) -> Any:
        """See the class."""
        return ops.reshape(vectors, (-1, self.frames, vectors.shape[-1]))

    def compute_output_spec(self, vectors: Any) -> Any:
        """Return the shape and dtype of the clips."""
        return keras.KerasTensor((None, self.frames, vectors.shape[-1]), dtype=vectors.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "frames": self.frames}


def build(config: VideoConfig, class_count: int, *, unroll: bool = False) -> keras.Model:
    """Return a new classifier: (frames, shown, sound) -> logits [rows, class_count], float32.

    Its inputs are `video_task.inputs_of`; there is no sound if the configuration reads none.

    Args:
        config: configuration of clips and model.
        class_count: number of classes.
        unroll: lay the recurrence out as a straight line of operations, faster on a CPU.
    """
    model, length = config.model, config.max_frames
    shown = layers.Input((length,), dtype="bool", name="shown")
    if model.frames == "xception":
        frames = layers.Input((length, FEATURES), name="frames")
        vectors = [frames]
    else:
        size = config.frame_size
        frames = layers.Input((length, size, size, 3), dtype="uint8", name="frames")
        vectors = [FramesTogether(length)(_look(model, FramesApart()(frames)))]
    inputs = [frames, shown]
    if config.sound:
        sound = layers.Input((length, config.samples()), dtype="int16", name="sound")
        inputs.append(sound)
        vectors.append(FramesTogether(length)(_listen(model, FramesApart()(sound))))
    x = layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
    x = _over_time(model, x, shown, unroll=unroll)
    # Logits in float32 whatever the precision of the rest: softmax loses digits in 16 bits.
    logits = layers.Dense(class_count, dtype="float32", name="logits")(x)
    return keras.Model(tuple(inputs), logits, name="video_classifier")


def _look(model: VideoModelConfig, pixels: Any) -> Any:
    """Return a vector of each frame: uint8 [frames, size, size, 3] -> [frames, units]."""
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    for number, filters in enumerate(model.filters):
        x = layers.Conv2D(
            filters, 3 if number else 5, strides=2, padding="same", activation="relu"
        )(x)
    x = layers.Dense(model.frame_units)(layers.Flatten()(x))
    # Without it, what all frames share hides for many epochs what differs between them. Over all
    # workers, so that N of them compute what one computes.
    x = layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    return layers.Activation("relu")(x)


def _listen(model: VideoModelConfig, samples: Any) -> Any:
    """Return a vector of the sound of each frame: int16 [frames, samples] -> [frames, units]."""
    x = layers.Rescaling(1 / 2**15)(samples)
    x = layers.Reshape((-1, 1))(x)
    for number, filters in enumerate(model.sound_filters):
        later = int(number > 0)
        x = layers.Conv1D(
            filters,
            _SOUND_KERNELS[later],
            strides=_SOUND_STRIDES[later],
            padding="same",
            activation="relu",
        )(x)
    return layers.GlobalAveragePooling1D()(x)


def _over_time(model: VideoModelConfig, vectors: Any, shown: Any, *, unroll: bool) -> Any:
    """Return a vector of each clip: [clips, frames, units] -> [clips, units]."""
    if model.recurrent == "mean":
        return layers.GlobalAveragePooling1D()(vectors, mask=shown)
    kind = {"lstm": layers.LSTM, "gru": layers.GRU}[model.recurrent]
    x = vectors
    for number in range(model.layers):
        last = number == model.layers - 1
        x = kind(model.units, return_sequences=not last, unroll=unroll)(x, mask=shown)
        if model.dropout:
            x = layers.Dropout(model.dropout)(x)
    return x
