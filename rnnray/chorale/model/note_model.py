"""The book's composer: dilated convolutions and LSTMs over an arpeggio of notes.

It uses Keras alone, so that it also runs on Keras's other backends. Source: A. Géron, Hands-On
Machine Learning with Scikit-Learn, Keras, and TensorFlow, 3rd edition, chapter 15, exercise 10.
"""

from typing import Any

import keras
from keras import layers, ops

from rnnray.chorale.chorale_config import ChoraleModelConfig
from rnnray.chorale.tokens import TOKENS


@keras.saving.register_keras_serializable("rnnray")
class NoteComposer(keras.Model):  # type: ignore[misc]
    """Embedding, causal dilated convolutions, LSTMs, a dense layer; one step a note.

    It has no token for the start, so all tokens have the same probability as a piece's first note.

    Call: tokens int [batch, n], -1 for padding at the end -> logits float32 [batch, n, 47] of each
    token, given those before it.
    """

    def __init__(self, options: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options
        config = ChoraleModelConfig.model_validate(options)
        self.kernel_size = config.kernel_size
        self.embedding = layers.Embedding(TOKENS, config.embedding)
        self.dilations = [2**number for number in range(config.dilated_layers)]
        self.convolutions, self.normalizations = [], []
        for number, dilation in enumerate(self.dilations):
            filters = config.filters[min(number, len(config.filters) - 1)]
            self.convolutions.append(
                layers.Conv1D(
                    filters,
                    config.kernel_size,
                    padding="causal",
                    dilation_rate=dilation,
                    activation="relu",
                )
            )
            self.normalizations.append(
                layers.BatchNormalization(momentum=config.normalization_momentum)
                if config.batch_normalization
                else layers.Identity()
            )
        self.lstms = [
            layers.LSTM(config.lstm_units, return_sequences=True) for _ in range(config.lstm_layers)
        ]
        self.dropout = layers.Dropout(config.dropout)
        # Logits in float32 whatever the precision of the rest: softmax loses digits in 16 bits.
        self.logits = layers.Dense(TOKENS, dtype="float32")

    def build(self, input_shape: Any = None) -> None:
        """Make the weights; they do not depend on the input's shape."""
        shape: tuple[int | None, ...] = (None, None)
        self.embedding.build(shape)
        shape = (*shape, self.embedding.output_dim)
        for convolution, normalization in zip(self.convolutions, self.normalizations, strict=True):
            convolution.build(shape)
            shape = (*shape[:2], convolution.filters)
            normalization.build(shape)
        for lstm in self.lstms:
            lstm.build(shape)
            shape = (*shape[:2], lstm.units)
        self.dropout.build(shape)
        self.logits.build(shape)
        self.built = True

    def call(self, tokens: Any, training: bool = False) -> Any:
        """Return logits for tokens; see the class."""
        x = self.embedding(ops.maximum(ops.cast(tokens[:, :-1], "int32"), 0))
        for convolution, normalization in zip(self.convolutions, self.normalizations, strict=True):
            x = normalization(convolution(x), training=training)
        for lstm in self.lstms:
            x = self.dropout(lstm(x, training=training), training=training)
        return ops.pad(self.logits(x), [[0, 0], [1, 0], [0, 0]])

    def initial_state(self, batch: int, bar_position: Any = 0, length: Any = -1) -> tuple[Any, Any]:
        """Return the first logits and state; see `architectures.Composer.initial_state`.

        The book's model knows neither bars nor ends, so `bar_position` and `length` are ignored.

        The state holds, for each convolution, a ring buffer of its past inputs: the input of note
        t lies at t modulo the buffer's length, which is the convolution's reach into the past.
        """
        del bar_position, length
        widths = [self.embedding.output_dim, *(layer.filters for layer in self.convolutions)]
        state = {
            "note": ops.zeros((), "int32"),
            "past": [
                ops.zeros((batch, dilation * (self.kernel_size - 1), width), self.compute_dtype)
                for dilation, width in zip(self.dilations, widths, strict=False)
            ],
            "lstms": [lstm.get_initial_state(batch) for lstm in self.lstms],
        }
        return ops.zeros((batch, TOKENS)), state

    def step(self, state: Any, notes: Any, voice: int) -> tuple[Any, Any]:
        """Return the next logits and state; see `architectures.Composer.step`."""
        del voice  # no input of the book's model
        note, past, lstms = state["note"], [], []
        x = self.embedding(notes)
        for convolution, normalization, dilation, inputs in zip(
            self.convolutions, self.normalizations, self.dilations, state["past"], strict=True
        ):
            kernel, length = ops.cast(convolution.kernel, x.dtype), inputs.shape[1]
            total = ops.matmul(x, kernel[-1]) + ops.cast(convolution.bias, x.dtype)
            for tap in range(1, self.kernel_size):
                earlier = ops.take(inputs, (note - tap * dilation) % length, axis=1)
                total = total + ops.matmul(earlier, kernel[-1 - tap])
            past.append(ops.slice_update(inputs, [0, note % length, 0], x[:, None]))
            x = normalization(ops.relu(total)[:, None], training=False)[:, 0]
        for lstm, before in zip(self.lstms, state["lstms"], strict=True):
            x, after = lstm.cell(x, before, training=False)
            lstms.append(after)
        return self.logits(x), {"note": note + 1, "past": past, "lstms": lstms}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "options": self.options}
