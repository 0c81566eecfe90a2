"""Where and on what a run runs."""

import re
from typing import Annotated, Self

import tyro
from annotated_types import Ge, Gt
from pydantic import Field, field_validator, model_validator

from rnnray.training.training_config import Config

RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=-]*$")]


class RunOptions(Config):
    """Where and on what a run runs; its result does not depend on these."""

    storage_path: Annotated[str, Field(min_length=1)] = "runs"
    """Folder or URI (s3://, gs://) of all runs, which every node of the cluster must reach."""
    name: RunName = "sketch"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""
    workers: Annotated[int | str, tyro.conf.arg(metavar="N|MIN:MAX")] = 1
    """Number of training workers, or MIN:MAX: as many in this range as there is room for, also when
    nodes come or go. YAML needs quotes ("1:2"), since it reads 1:2 as minutes."""
    gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Require a GPU for each worker; without --gpu and --no-gpu, GPUs are used if there are any."""
    no_gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Use CPUs even if there are GPUs."""
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
    """Minutes without a step before the workers may count as stuck."""

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
            raise ValueError("--gpu and --no-gpu exclude each other")
        return self

    def wants_gpu(self) -> bool | None:
        """Whether workers must have a GPU; None to use GPUs where there are any."""
        return True if self.gpu else False if self.no_gpu else None

    def worker_range(self) -> tuple[int, int]:
        """The fewest and the most training workers; equal unless the run is elastic."""
        return _range(str(self.workers))


def _range(workers: str) -> tuple[int, int]:
    least, _, most = workers.partition(":")
    return int(least), int(most or least)
