"""The optimizer, its schedule, and gradient clipping."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from rnnray.training.training_config import OptimizerConfig, TrainingConfig

# The batch size of the book, to which --scale-learning-rate refers.
_BASE_BATCH_SIZE = 32


@keras.saving.register_keras_serializable("rnnray")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A linear rise to `peak` over `warmup_steps`, then half a cosine to zero at `total_steps`.

    Our own, because Keras's CosineDecay with a warm-up target takes its decay_steps without the
    warm-up and starts the first step at exactly zero.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step, a scalar."""
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / max(self.warmup_steps, 1)
        done = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        fall = 0.5 * (1 + keras.ops.cos(math.pi * keras.ops.clip(done, 0.0, 1.0)))
        return self.peak * keras.ops.where(step < self.warmup_steps, rise, fall)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def build_optimizer(config: TrainingConfig, total_steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a run of `total_steps` steps, without clipping: see `clip`."""
    options = config.optimizer
    peak = options.learning_rate
    if config.scale_learning_rate:
        peak *= config.global_batch_size / _BASE_BATCH_SIZE
    rate: float | WarmupCosine = peak
    if options.schedule == "cosine":
        rate = WarmupCosine(peak, round(options.warmup_share * total_steps), total_steps)
    match options.name:
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=options.momentum)
        case "adam":
            return keras.optimizers.Adam(rate)
        case "nadam":
            return keras.optimizers.Nadam(rate)
        case "adamw":
            optimizer = keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            return optimizer


def clip(gradients: Sequence[Any], options: OptimizerConfig) -> list[Any]:
    """The gradients of the global batch, clipped.

    Not by the optimizer's own `clipnorm`: it clips before the sum over workers, so N workers
    would clip N local gradients instead of the one of the global batch.
    """
    if options.clip == "none":
        return list(gradients)
    squares = [keras.ops.sum(keras.ops.square(gradient)) for gradient in gradients]
    if options.clip == "global":
        squares = [sum(squares)] * len(gradients)
    # The norm is bounded below by clip_norm, so a small gradient is multiplied by exactly 1.
    return [
        gradient
        * (options.clip_norm / keras.ops.maximum(keras.ops.sqrt(square), options.clip_norm))
        for gradient, square in zip(gradients, squares, strict=True)
    ]
