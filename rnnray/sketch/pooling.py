"""Pooling of the steps of recurrent layers into one vector for a drawing."""

from typing import Any

import keras
from keras import layers, ops

_NEVER = -1e4  # less than any activation, and a number in 16 bits too


@keras.saving.register_keras_serializable("rnnray")
class StepPooling(layers.Layer):  # type: ignore[misc]
    """Mean, maximum, or a weighted mean of the steps that hold drawing.

    Args:
        kinds: mean, max, attention; their vectors are concatenated. attention weighs each step by
            a learned function of what it holds.

    Call: steps float [batch, steps, units], bool [batch, steps] -> float [batch, kinds * units].
    """

    def __init__(self, kinds: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = tuple(kinds)
        self.supports_masking = True  # the same mask as `drawn`, so Keras need not warn
        if "attention" in self.kinds:
            # Of attention; files of weights have it under this name.
            self.score = layers.Dense(1, use_bias=False, name="score", dtype=self.dtype_policy)

    def build(self, steps_shape: Any, drawn_shape: Any) -> None:
        """Make the weights of attention, if there is any."""
        del drawn_shape
        if "attention" in self.kinds:
            self.score.build(steps_shape)
        self.built = True

    def call(self, steps: Any, drawn: Any) -> Any:
        """See the class."""
        drawn = drawn[..., None]
        counted = ops.cast(drawn, steps.dtype)
        pooled = []
        for kind in self.kinds:
            if kind == "max":
                pooled.append(ops.max(ops.where(drawn, steps, _NEVER), axis=1))
                continue
            weights = counted / ops.sum(counted, axis=1, keepdims=True)
            if kind == "attention":
                weights = ops.softmax(ops.where(drawn, self.score(steps), _NEVER), axis=1)
            pooled.append(ops.sum(steps * weights, axis=1))
        return ops.concatenate(pooled, axis=-1)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Return no mask: no steps are left."""

    def compute_output_spec(self, steps: Any, drawn: Any) -> Any:
        """A vector of each kind."""
        del drawn
        shape = (steps.shape[0], len(self.kinds) * steps.shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "kinds": list(self.kinds)}
