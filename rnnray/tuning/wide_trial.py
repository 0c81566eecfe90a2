"""A trial of a sweep on several workers: the Ray Train driver inside of a trial of Ray Tune."""

from collections.abc import Mapping
from typing import Any

import ray
import ray.tune
import ray.util
from ray.train import UserCallback
from ray.tune.integration.ray_train import TuneReportCallback
from ray.util.placement_group import PlacementGroup

from rnnray.training import driver
from rnnray.training.training_options import RunOptions
from rnnray.tuning.space import with_values
from rnnray.tuning.trial import TrialJob, diverged_told, reported

CHECKPOINT = "checkpoint_path"
"""A reported column: the checkpoint of a trial of several workers, a path."""
RUN = "training"
"""The folder of the Ray Train run of a trial, in the trial's."""
_RESERVED = "placement_group"
"""A reported column: the id of what a trial's workers reserve, which `FreeWorkers` gives back.

Only a worker knows it, and Ray Tune shows its callbacks nothing of a trial but what was reported
last. So it stands in Ray's own files of such a trial, and among no metrics.
"""


def run_wide_trial(arguments: Mapping[str, Any], *, job: TrialJob) -> None:
    """As `run_trial`, on several workers: a run of the Ray Train driver in the trial's folder."""
    values = arguments["values"]
    config = with_values(job.problem.config, values)
    options = job.options
    gpus = options.gpus_per_trial > 0
    with diverged_told(values, job, **{CHECKPOINT: ""}):
        driver.train(
            job.problem.task(config),
            config,
            RunOptions(
                storage_path=f"{job.folder}/{ray.tune.get_context().get_trial_name()}",
                name=RUN,  # the same after a restart: Ray Train goes on by itself
                workers=options.workers_per_trial,
                cpus_per_worker=options.cpus_per_trial,
                gpu=gpus,
                no_gpu=not gpus,
                stuck_times=options.stuck_times,
                stuck_minutes=options.stuck_minutes,
            ),
            job.problem.data(config),
            report_steps=options.report_every or 0,
            callbacks=[_report_callback(values, job.metric)],
            also_report=_reserved,
            held=job.held,
            initial=job.initial,
        )


def _reserved() -> dict[str, str]:
    return {_RESERVED: ray.get_runtime_context().get_placement_group_id()}


def _report_callback(values: Mapping[str, Any], metric: str) -> UserCallback:
    class Report(TuneReportCallback):  # type: ignore[misc]
        """Hands what rank 0 reports to Ray Tune, in the form of `run_trial`."""

        def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
            if metrics[0]:
                ours = dict(metrics[0])
                also = {_RESERVED: ours.pop(_RESERVED)}
                told = reported(ours, values, metric) | also
                super().after_report(run_context, [told], checkpoint)

    return Report()


class FreeWorkers(ray.tune.Callback):  # type: ignore[misc]
    """Gives back what the workers of a trial reserved, when the trial ends.

    Ray Train does that where it ends by itself. Where Ray Tune stops it early, it leaves it to an
    actor that must ask the dashboard, and that gives up where a machine runs two Ray clusters.
    """

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """The trial finished or was stopped."""
        _free_workers(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """The trial died."""
        _free_workers(trial)


def _free_workers(trial: Any) -> None:
    reserved = trial.last_result.get(_RESERVED)
    if reserved:
        ray.util.remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(reserved)))
