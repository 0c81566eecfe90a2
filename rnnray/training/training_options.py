"""Options of a training run: those that determine its result, and where and on what it runs."""

import math
import re
from typing import Annotated, Literal, Self

import tyro
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from rnnray.splits import parse_shares


def _checked(text: str) -> str:
    parse_shares(text)
    return text


Split = Annotated[str, AfterValidator(_checked)]


class Config(BaseModel):
    """A configuration: frozen, checked, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OptimizerConfig(Config):
    """Optimizer, learning-rate schedule, and clipping of gradients."""

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
    average_momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Exponential moving average of the weights, which is validated and saved: the share of the old
    average in each step, such as 0.999; 0 for the weights themselves."""
    skip_nonfinite: bool = False
    """Skip and count steps whose loss or gradients are not finite; without this, training ends at
    the first one."""


def share_of_peak(done: float, warmup_share: float) -> float:
    """Return the learning rate of the cosine schedule as a share of its peak.

    Args:
        done: share of the steps that are done, 0 to 1.
        warmup_share: see `OptimizerConfig`.

    `rnnray.training.step.WarmupCosine` is the same curve as the optimizer computes it.
    """
    if done < warmup_share:
        return done / warmup_share
    left = 1 - warmup_share
    return 0.5 * (1 + math.cos(math.pi * (done - warmup_share) / left)) if left else 1.0


class TrainingConfig(Config):
    """Options that determine the result of a run, apart from data and model."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    init_from: str | None = None
    """Path or URI of a checkpoint whose weights a new run starts with; its classes and data may
    differ. Weights that fit are taken, and the others are named in the log."""
    split: Split | None = None
    """Shares of the splits in percent, TRAIN:VALIDATION:TEST, such as 80:10:10, for data without
    splits: by a hash of each drawing, or of each chorale's name."""
    epochs: Annotated[int, Ge(1)] = 2
    """Number of passes over the training data; a training run can be resumed with more."""
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


NoGpu = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    Field(description="Use CPUs even if there are GPUs."),
]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=-]*$")]


class RunOptions(Config):
    """Storage, workers and resources of a run; its result does not depend on these."""

    storage_path: Annotated[str, Field(min_length=1)] = "runs"
    """Folder or URI (s3://, gs://) of all runs, which every node of the cluster must reach."""
    name: RunName = "run"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""
    workers: Annotated[int | str, tyro.conf.arg(metavar="N|MIN:MAX")] = 1
    """Number of training workers, or MIN:MAX: as many in this range as there is room for, also when
    nodes come or go. YAML needs quotes ("1:2"), since it reads 1:2 as minutes."""
    gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Require a GPU for each worker; without --gpu and --no-gpu, GPUs are used if there are any."""
    no_gpu: NoGpu = False
    cpus_per_worker: Annotated[float, Gt(0)] | None = None
    """Number of CPUs that each worker reserves; by default one, or less if that leaves none to read
    data."""
    checkpoint_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes between checkpoints within an epoch; each epoch ends with a checkpoint in any
    case."""
    max_failures: Annotated[int, Ge(0)] = 3
    """Number of times that workers may die without a new checkpoint in between; with 0 the first
    death ends the run."""
    stuck_times: Annotated[float, Ge(0)] = 100.0
    """Multiple of the usual time of a step: workers are stuck when no step has ended for this long
    (and for --stuck-minutes). Their stacks are logged, and they start again as after a failure; 0
    turns this off."""
    stuck_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes without a step before the workers may count as stuck. In a run's first steps,
    whose usual time is unknown, the stacks are logged and nothing else is done."""

    @field_validator("workers")
    @classmethod
    def _are_workers(cls, workers: int | str) -> int | str:
        text = str(workers)
        if not re.fullmatch(r"\d+(:\d+)?", text, re.ASCII):
            raise ValueError("a number of workers, such as 2, or MIN:MAX, such as 1:2")
        least, most = _range(text)
        if not 1 <= least <= most:
            raise ValueError("a run needs one worker at least, and no more MIN than MAX")
        return text if ":" in text else int(text)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.gpu and self.no_gpu:
            raise ValueError("gpu and no_gpu exclude each other")
        return self

    def wants_gpu(self) -> bool | None:
        """Return whether workers must have a GPU; None to use GPUs where there are any."""
        return True if self.gpu else False if self.no_gpu else None

    def worker_range(self) -> tuple[int, int]:
        """Return the fewest and the most training workers; equal unless the run is elastic."""
        return _range(str(self.workers))


def _range(workers: str) -> tuple[int, int]:
    least, _, most = workers.partition(":")
    return int(least), int(most or least)
