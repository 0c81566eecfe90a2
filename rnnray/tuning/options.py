"""How a sweep searches, and on what."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from pydantic import Field

from rnnray.training.config import Config
from rnnray.training.options import RunName


class SweepOptions(Config):
    """How a sweep searches, and on what."""

    storage_path: Annotated[str, Field(min_length=1)] = "runs"
    """Folder or URI (s3://, gs://) of all runs; shared by all nodes of a cluster."""
    name: RunName = "sweep"
    """Name of this sweep and of its folder; the same name goes on where the sweep stopped."""
    space: str | None = None
    """YAML file with another search space: field: {low: 1, high: 8}, or a list of choices."""
    samples: Annotated[int, Ge(1)] = 16
    """Trials."""
    scheduler: Literal["asha", "none"] = "asha"
    """asha stops poor trials early (Li et al., 2018); none lets all of them finish."""
    grace_epochs: Annotated[int, Ge(1)] = 1
    """Epochs that asha lets every trial train."""
    reduction: Annotated[float, Gt(1)] = 3.0
    """asha lets the best 1 of so many trials go on, and so on for as many times the epochs."""
    time_budget_minutes: Annotated[float, Gt(0)] | None = None
    """End the sweep after so long; what has been found until then counts."""
    cpus_per_trial: Annotated[float, Gt(0)] = 1.0
    """CPUs that each trial reserves, and threads that it uses."""
    gpus_per_trial: Annotated[float, Ge(0)] = 0.0
    """GPUs that each trial reserves; 0.5 puts two trials on one."""
    max_concurrent: Annotated[int, Ge(1)] | None = None
    """Trials at the same time; by default as many as the cluster holds."""
    max_failures: Annotated[int, Ge(0)] = 2
    """How often a trial that died goes on from its last checkpoint."""
    checkpoint_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes between checkpoints within an epoch; there is one at each epoch's end anyhow."""
