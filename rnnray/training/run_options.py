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
    """Folder or URI (s3://, gs://) of all runs; shared by all nodes of a cluster."""
    name: RunName = "sketch"
    """Name of this run and of its folder; the same name goes on where the run stopped."""
    workers: Annotated[int | str, tyro.conf.arg(metavar="N|MIN:MAX")] = 1
    """Number of training workers; MIN:MAX for as many of these as there is room for, now and when
    nodes come or go ("MIN:MAX" in YAML, which takes 1:2 for minutes)."""
    gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Use a GPU for each worker; without --gpu and --no-gpu they are used where there are any."""
    no_gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Use CPUs even where there are GPUs."""
    cpus_per_worker: Annotated[float, Gt(0)] | None = None
    """CPUs that each worker reserves; by default one, or less so that one is left to read data."""
    checkpoint_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes between checkpoints within an epoch; there is one at each epoch's end anyhow."""
    max_failures: Annotated[int, Ge(0)] = 3
    """How often workers may die without a new checkpoint in between; with 0 the first time ends
    the run."""
    stuck_times: Annotated[float, Ge(0)] = 100.0
    """Times the usual time of a step without any step, after which the workers are stuck: their
    stacks are logged, and they start again as after a failure; 0 for never."""
    stuck_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes without any step before the workers may count as stuck."""

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
