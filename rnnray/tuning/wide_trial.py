"""A trial of a sweep on several workers: Ray Train's driver within a trial of Ray Tune."""

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
"""Name of a reported column: the path of the checkpoint of a trial of several workers."""
RUN = "training"
"""Name of the folder of a trial's Ray Train run, within the trial's folder."""
_RESERVED = "placement_group"
"""Name of a reported column: the id of a trial's placement group, which `FreeWorkers` gives back.

Only a worker knows it, and Ray Tune shows its callbacks nothing of a trial but its last report. So
it stands in Ray's own files of such a trial, and among no metrics.
"""


def run_wide_trial(arguments: Mapping[str, Any], *, job: TrialJob) -> None:
    """Train as `run_trial` does, on several workers: a Ray Train run in the trial's folder."""
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
                name=RUN,  # the same after a restart, so that Ray Train resumes
                workers=options.workers_per_trial,
                cpus_per_worker=options.cpus_per_trial,
                gpu=gpus,
                no_gpu=not gpus,
                stuck_times=options.stuck_times,
                stuck_minutes=options.stuck_minutes,
                max_failures=0,  # Ray Tune starts a trial again, and counts
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
    """Releases the resources of a trial's workers when the trial ends.

    Ray Train releases them when its run ends by itself. When Ray Tune stops it early, Ray Train
    leaves this to an actor that must ask the dashboard, and that fails on a machine with two Ray
    clusters.
    """

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Called when the trial has finished or was stopped."""
        _free_workers(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Called when the trial has died."""
        _free_workers(trial)


def _free_workers(trial: Any) -> None:
    reserved = trial.last_result.get(_RESERVED)
    if reserved:
        ray.util.remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(reserved)))
