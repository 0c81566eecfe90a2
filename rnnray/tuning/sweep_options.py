"""How a sweep searches, and on what."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from rnnray.training.training_options import Config, RunName


class SweepOptions(Config):
    """How a sweep searches, and on what."""

    storage_path: Annotated[str, Field(min_length=1)] = "runs"
    """Folder or URI (s3://, gs://) of all runs; shared by all nodes of a cluster."""
    name: RunName = "sweep"
    """Name of this sweep and of its folder; the same name goes on where the sweep stopped."""
    space: str | None = None
    """YAML file with another search space: field: {low: 1, high: 8}, or a list of choices."""
    metric: str | None = None
    """What decides which trial is best: validation_loss or another one that trials report; by
    default the one that decides in training which checkpoint is best."""
    samples: Annotated[int, Ge(1)] = 16
    """Trials."""
    searcher: Literal["random", "optuna"] = "random"
    """random draws all trials before the first one starts; optuna draws each from what the trials
    before it found (tree-structured Parzen estimator, Bergstra et al., 2011)."""
    scheduler: Literal["asha", "pbt", "none"] = "asha"
    """asha stops poor trials early (Li et al., 2018); pbt lets them go on from the good ones'
    weights with other values (Jaderberg et al., 2017), so that best.yaml has a trial's last values,
    which alone do not lead to its checkpoint; none lets all of them finish."""
    grace_epochs: Annotated[float, Gt(0)] = 1.0
    """Epochs that asha lets every trial train."""
    reduction: Annotated[float, Gt(1)] = 3.0
    """asha lets the best 1 of so many trials go on, and so on for as many times the epochs."""
    exchange_epochs: Annotated[float, Gt(0)] = 1.0
    """Epochs after which, and again after which, the worst quarter of pbt's trials go on from the
    best quarter's weights."""
    report_every: Annotated[int, Ge(1)] | None = None
    """Steps after which a trial is validated, within an epoch too; by default each epoch's end."""
    time_budget_minutes: Annotated[float, Gt(0)] | None = None
    """End the sweep after so long; what has been found until then counts."""
    workers_per_trial: Annotated[int, Ge(1)] = 1
    """Workers that train one trial together; more than one is for models too slow for one GPU."""
    cpus_per_trial: Annotated[float, Gt(0)] = 1.0
    """CPUs that each trial (each of its workers) reserves, and threads that it uses."""
    gpus_per_trial: Annotated[float, Ge(0)] = 0.0
    """GPUs that each trial (each of its workers) reserves; 0.5 puts two trials on one."""
    max_concurrent: Annotated[int, Ge(1)] | None = None
    """Trials at the same time; by default as many as the cluster holds."""
    max_failures: Annotated[int, Ge(0)] = 2
    """How often a trial that died goes on from its last checkpoint."""
    stuck_times: Annotated[float, Ge(0)] = 100.0
    """Times the usual time of a step without any step, after which a trial is stuck: its stacks are
    logged, and it starts again as after a failure; 0 for never."""
    stuck_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes without any step before a trial may count as stuck."""

    def needs_dashboard(self) -> bool:
        """Whether a Ray that is started for the sweep needs its dashboard: Ray frees the workers of
        a trial that is stopped early by asking it.
        """
        return self.workers_per_trial > 1

    @model_validator(mode="after")
    def _pbt_decides_alone(self) -> Self:
        if self.scheduler == "pbt" and self.searcher != "random":
            raise ValueError("--scheduler pbt changes values by itself: no --searcher beside it")
        if self.scheduler == "pbt" and self.workers_per_trial > 1:
            raise ValueError("--scheduler pbt takes trials of one worker")
        if self.scheduler == "pbt" and self.samples < 4:
            raise ValueError("--scheduler pbt needs 4 --samples: a quarter learns from another")
        if self.workers_per_trial > 1 and self.gpus_per_trial not in (0, 1):
            raise ValueError(
                "workers of one trial take a GPU each, or none: --gpus-per-trial 1 or 0 with "
                "--workers-per-trial"
            )
        return self
