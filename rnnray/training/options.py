"""Where and on what a run runs."""

from typing import Annotated, Self

import tyro
from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from rnnray.training.config import Config

RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=-]*$")]


class RunOptions(Config):
    """Where and on what a run runs; its result does not depend on these."""

    storage_path: Annotated[str, Field(min_length=1)] = "runs"
    """Folder or URI (s3://, gs://) of all runs; shared by all nodes of a cluster."""
    name: RunName = "sketch"
    """Name of this run and of its folder; the same name goes on where the run stopped."""
    workers: Annotated[int, Ge(1)] = 1
    """Number of training workers."""
    gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Use a GPU for each worker; without --gpu and --no-gpu they are used where there are any."""
    no_gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Use CPUs even where there are GPUs."""
    cpus_per_worker: Annotated[float, Gt(0)] | None = None
    """CPUs that each worker reserves; by default one, or less so that one is left to read data."""
    checkpoint_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes between checkpoints within an epoch; there is one at each epoch's end anyhow."""
    max_failures: Annotated[int, Ge(0)] = 3
    """How often a run goes on from its last checkpoint when a worker died."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.gpu and self.no_gpu:
            raise ValueError("--gpu and --no-gpu exclude each other")
        return self

    def wants_gpu(self) -> bool | None:
        """Whether workers must have a GPU; None to use GPUs where there are any."""
        return True if self.gpu else False if self.no_gpu else None
