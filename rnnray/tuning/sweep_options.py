"""Search, storage and resources of a sweep."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from rnnray.training.training_options import Config, RunName


class SweepOptions(Config):
    """Search, storage and resources of a sweep."""

    storage_path: Annotated[str, Field(min_length=1)] = "runs"
    """Folder or URI (s3://, gs://) of all runs, which every node of the cluster must reach."""
    name: RunName = "sweep"
    """Name of the sweep and of its folder; a sweep of the same name resumes where it stopped."""
    space: str | None = None
    """YAML file with another search space; each field has a range, such as {low: 1, high: 8}, or a
    list of choices."""
    metric: str | None = None
    """Metric that decides which trial is best: validation_loss or another that trials report; by
    default the metric that selects checkpoints in training."""
    samples: Annotated[int, Ge(1)] = 16
    """Number of trials."""
    searcher: Literal["random", "optuna"] = "random"
    """Method of drawing values: random draws all trials before the first one starts; optuna draws
    each trial from the results of earlier ones (tree-structured Parzen estimator, Bergstra et al.,
    2011)."""
    scheduler: Literal["asha", "pbt", "none"] = "asha"
    """Treatment of poor trials: asha stops them early (Li et al., 2018); pbt gives them the weights
    of good trials and other values (Jaderberg et al., 2017), so best.yaml has a trial's last
    values, which alone do not lead to its checkpoint; none lets all trials finish."""
    grace_epochs: Annotated[float, Gt(0)] = 1.0
    """Number of epochs that asha lets every trial train."""
    reduction: Annotated[float, Gt(1)] = 3.0
    """Reduction factor of asha: the best 1 in this many trials goes on, for this many times the
    epochs, and so on."""
    exchange_epochs: Annotated[float, Gt(0)] = 1.0
    """Every this many epochs, the worst quarter of pbt's trials copy the weights of the best
    quarter."""
    report_every: Annotated[int, Ge(1)] | None = None
    """Number of steps between two validations of a trial; by default each epoch's end is
    validated."""
    time_budget_minutes: Annotated[float, Gt(0)] | None = None
    """Minutes after which the sweep ends; what it has found by then counts."""
    workers_per_trial: Annotated[int, Ge(1)] = 1
    """Number of workers that train one trial together; more than one is for models too slow for one
    GPU."""
    cpus_per_trial: Annotated[float, Gt(0)] = 1.0
    """Number of CPUs that each trial (each of its workers) reserves, and of threads that it
    uses."""
    gpus_per_trial: Annotated[float, Ge(0)] = 0.0
    """Number of GPUs that each trial (each of its workers) reserves; with 0.5, two trials share
    one."""
    max_concurrent: Annotated[int, Ge(1)] | None = None
    """Largest number of trials at the same time; by default as many as the cluster has room for."""
    max_failures: Annotated[int, Ge(0)] = 2
    """Number of times that a trial that died may go on from its last checkpoint."""
    stuck_times: Annotated[float, Ge(0)] = 100.0
    """Multiple of the usual time of a step: a trial is stuck when no step has ended for this long
    (and for --stuck-minutes). Its stacks are logged, and it starts again as after a failure; 0
    turns this off."""
    stuck_minutes: Annotated[float, Gt(0)] = 10.0
    """Minutes without a step before a trial may count as stuck. In a trial's first steps,
    whose usual time is unknown, the stacks are logged and nothing else is done."""

    def needs_dashboard(self) -> bool:
        """Return whether a Ray that is started for the sweep needs its dashboard.

        Ray asks the dashboard to free the workers of a trial that is stopped early.
        """
        return self.workers_per_trial > 1

    @model_validator(mode="after")
    def _pbt_decides_alone(self) -> Self:
        if self.scheduler == "pbt" and self.searcher != "random":
            raise ValueError("--scheduler pbt excludes --searcher, since it changes values itself")
        if self.scheduler == "pbt" and self.workers_per_trial > 1:
            raise ValueError("--scheduler pbt needs trials of one worker")
        if self.scheduler == "pbt" and self.samples < 4:
            raise ValueError(
                "--scheduler pbt needs at least 4 --samples: a quarter of the trials copies another"
            )
        if self.workers_per_trial > 1 and self.gpus_per_trial not in (0, 1):
            raise ValueError(
                "workers of one trial use one GPU each, or none: --gpus-per-trial 1 or 0 with "
                "--workers-per-trial"
            )
        return self
