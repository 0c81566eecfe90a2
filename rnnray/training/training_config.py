"""The configuration that every training run has, whatever it trains."""

import math
import re
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

Percentages = tuple[int, int, int]


def parse_shares(text: str) -> Percentages:
    """TRAIN:VALIDATION:TEST, such as 80:10:10, as percent of the data.

    Raises:
        ValueError: not three numbers that make 100, or nothing is left to train on.
    """
    found = re.fullmatch(r"(\d{1,3}):(\d{1,3}):(\d{1,3})", text, re.ASCII)
    train, validation, test = map(int, found.groups()) if found else (0, 0, 0)
    if train + validation + test != 100 or not train or not validation:
        raise ValueError(
            "TRAIN:VALIDATION:TEST in percent, such as 80:10:10; they make 100, and TRAIN and "
            "VALIDATION are not 0"
        )
    return train, validation, test


def _checked(text: str) -> str:
    parse_shares(text)
    return text


Split = Annotated[str, AfterValidator(_checked)]


class Config(BaseModel):
    """Frozen, checked, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OptimizerConfig(Config):
    """How gradients become weights."""

    name: Literal["sgd", "adam", "adamw", "nadam"] = "sgd"
    """The optimizer, as Keras implements it."""
    learning_rate: Annotated[float, Gt(0)] = 1e-2
    """The learning rate; the highest one where the schedule changes it."""
    momentum: Annotated[float, Ge(0), Le(1)] = 0.0
    """Momentum of sgd; the others have their own."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled weight decay of adamw, on kernels only: not on biases and normalisation."""
    schedule: Literal["constant", "cosine"] = "constant"
    """constant, or a warm-up followed by half a cosine down to zero at the last step."""
    warmup_share: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of all steps in which the learning rate rises from zero, with the cosine schedule."""
    clip: Literal["none", "variable", "global"] = "none"
    """Clip gradients to clip_norm: each variable's by itself, or by the norm of all together."""
    clip_norm: Annotated[float, Gt(0)] = 1.0
    """The norm that clipping leaves, applied to the gradient of the global batch."""
    average_momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Validate and store a moving average of the weights (EMA): the share of the old average in
    each step, such as 0.999; 0 for the weights themselves."""
    skip_nonfinite: bool = False
    """Skip the steps whose loss or gradients are not finite numbers, and count them; without it
    training ends at the first one."""


def share_of_peak(done: float, warmup_share: float) -> float:
    """The learning rate of the cosine schedule, as a share of its peak.

    Args:
        done: share of all steps that are done, 0 to 1.
        warmup_share: see `OptimizerConfig`.
    """
    if done < warmup_share:
        return done / warmup_share
    left = 1 - warmup_share
    return 0.5 * (1 + math.cos(math.pi * (done - warmup_share) / left)) if left else 1.0


class TrainingConfig(Config):
    """What determines the result of a run, apart from the data and the model."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    init_from: str | None = None
    """Path or URI of a checkpoint whose weights a new run begins with, of a run with other classes
    or other data too: what fits is taken, what does not is named."""
    split: Split | None = None
    """TRAIN:VALIDATION:TEST, in percent, such as 80:10:10: how data that have no splits are
    divided, by a hash of each drawing or of each chorale's name."""
    epochs: Annotated[int, Ge(1)] = 2
    """Passes over the training data; a run that is called again may be given more."""
    global_batch_size: Annotated[int, Ge(1)] = 32
    """Rows of one step, over all workers together."""
    scale_learning_rate: bool = False
    """Multiply the learning rate by global_batch_size / 32 (Goyal et al., 2017)."""
    shuffle_rows: Annotated[int, Ge(0)] = 16_384
    """Rows that are permuted together in an epoch, at least, of data that were mixed once before; 0
    for the order of the data, which is then not mixed at all."""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 42
    """Seed of the weights, the shuffling and the dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: Keras's mixed_bfloat16, weights in float32; for GPUs from the Ampere generation."""
    xla: bool = False
    """Compile forward and backward pass with XLA: 10 to 30 s at the start, then faster on GPUs."""

    @model_validator(mode="after")
    def _warmup_needs_cosine(self) -> Self:
        if self.optimizer.warmup_share and self.optimizer.schedule == "constant":
            raise ValueError("warmup_share needs the cosine schedule")
        return self
