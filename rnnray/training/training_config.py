"""The configuration that every training run has, whatever it trains."""

import math
import re
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le
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
    """Optimizer, as Keras implements it."""
    learning_rate: Annotated[float, Gt(0)] = 1e-2
    """Learning rate; its peak if the schedule changes it."""
    momentum: Annotated[float, Ge(0), Le(1)] = 0.0
    """Momentum of sgd; the other optimizers have their own."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled weight decay of adamw, on kernels only: not on biases and normalisation."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Schedule of the learning rate: constant, or cosine: a warm-up, then half a cosine down to
    zero at the last step."""
    warmup_share: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of all steps during which the learning rate rises from zero; needs the cosine
    schedule."""
    clip: Literal["none", "variable", "global"] = "none"
    """Clipping of gradients to clip_norm: none, each variable by its own norm, or all together by
    their global norm."""
    clip_norm: Annotated[float, Gt(0)] = 1.0
    """Largest norm after clipping, which acts on the gradient of the global batch."""
    skip_nonfinite: bool = False
    """Skip and count steps whose loss or gradients are not finite; without this, training ends at
    the first one."""


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
    """Path or URI of a checkpoint whose weights a new run starts with; its classes and data may
    differ. Weights that fit are taken, and the others are named in the log."""
    split: Split | None = None
    """Shares of the splits in percent, TRAIN:VALIDATION:TEST, such as 80:10:10, for data without
    splits: by a hash of each drawing, or of each chorale's name."""
    epochs: Annotated[int, Ge(1)] = 2
    """Number of passes over the training data; it may be raised to continue a run."""
    global_batch_size: Annotated[int, Ge(1)] = 32
    """Number of rows in a step, over all workers together."""
    scale_learning_rate: bool = False
    """Multiply the learning rate by global_batch_size / 32 (Goyal et al., 2017)."""
    shuffle_rows: Annotated[int, Ge(0)] = 16_384
    """Least number of rows that each epoch permutes together, after the data were mixed once; 0
    keeps the order of the data and does not mix them at all."""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 42
    """Seed of the weights, the shuffling and the dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of computation; bfloat16 is Keras's mixed_bfloat16, with weights in float32, for
    GPUs from the Ampere generation on."""
    xla: bool = False
    """Compile the forward and backward pass with XLA: 10 to 30 s at the start, then faster on
    GPUs."""

    @model_validator(mode="after")
    def _warmup_needs_cosine(self) -> Self:
        if self.optimizer.warmup_share and self.optimizer.schedule == "constant":
            raise ValueError("warmup_share needs the cosine schedule")
        return self
