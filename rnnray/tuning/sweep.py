"""A sweep: many trials of one problem on a Ray cluster, found again after a crash."""

import dataclasses
import json
import os
import random
from typing import Any

import ray.tune
import yaml
from ray.tune import CheckpointConfig, FailureConfig, ResultGrid, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from rnnray import cluster, storage
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.training.config import TrainingConfig
from rnnray.tuning.options import SweepOptions
from rnnray.tuning.report import SweepReport
from rnnray.tuning.space import Space, with_values
from rnnray.tuning.trial import Problem, run_trial

PLAN = "sweep.yaml"


def draw(space: Space, config: TrainingConfig, samples: int) -> list[dict[str, Any]]:
    """Values for each trial, from the configuration's seed; the first ones of a longer sweep.

    Raises:
        UserError: the space allows values that do not go together.
    """
    rng = random.Random(config.seed)
    drawn = [{name: spec.draw(rng) for name, spec in space.items()} for _ in range(samples)]
    for values in drawn:
        with_values(config, values)
    return drawn


def run(problem: Problem, space: Space, options: SweepOptions) -> ResultGrid:
    """Run a sweep, or go on with the one of the same storage path and name.

    All trials are drawn before the first one starts, so that a sweep is a function of its seed,
    and a resumed one is the same.

    Args:
        problem: what is searched.
        space: see `rnnray.tuning.space.parse`.
        options: how.

    Returns:
        Ray Tune's results, trials in the order in which they were drawn.

    Raises:
        UserError: the cluster is too small for a trial, the storage cannot be written, or the
            sweep there is another one.
    """
    config = problem.config
    cluster.check_fits(options.cpus_per_trial, options.gpus_per_trial)
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    resumes = _keep_plan(folder, space, config, options)
    if "://" not in folder:
        # What Ray Tune has not noted when it is killed is done again; by default it notes only
        # every 10 s, which an object store should not be asked for more often.
        os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "0.5")
    task = problem.task(config)
    metric, mode = task.score
    trainable = ray.tune.with_resources(
        ray.tune.with_parameters(
            run_trial,
            problem=problem,
            threads=0 if options.gpus_per_trial else max(1, int(options.cpus_per_trial)),
            checkpoint_seconds=options.checkpoint_minutes * 60,
        ),
        {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial},
    )
    drawn = draw(space, config, options.samples)
    say(
        f"{'resuming' if resumes else 'sweeping'} {folder}: {options.samples} trials of at most "
        f"{config.epochs} epochs over {', '.join(space)}"
    )
    if resumes and Tuner.can_restore(folder):
        tuner = Tuner.restore(folder, trainable, resume_errored=True)
    else:
        tuner = Tuner(
            trainable,
            param_space={"values": ray.tune.grid_search(drawn)},
            tune_config=TuneConfig(
                metric=metric,
                mode=mode,
                scheduler=_scheduler(options, config.epochs),
                max_concurrent_trials=options.max_concurrent,
                time_budget_s=(
                    None
                    if options.time_budget_minutes is None
                    else options.time_budget_minutes * 60
                ),
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=RunConfig(
                storage_path=storage.absolute(options.storage_path),
                name=options.name,
                failure_config=FailureConfig(max_failures=options.max_failures),
                checkpoint_config=CheckpointConfig(
                    num_to_keep=1,
                    checkpoint_score_attribute=metric,
                    checkpoint_score_order=mode,
                ),
                callbacks=[SweepReport(task, config.epochs, options.samples)],
                verbose=0,
            ),
        )
    return tuner.fit()


def _name(trial: Any) -> str:
    """trial-00003: the trial's number as it was drawn."""
    return f"trial-{trial.trial_id.rpartition('_')[2]}"


def _scheduler(options: SweepOptions, epochs: int) -> Any:
    if options.scheduler == "none" or epochs == 1:
        return FIFOScheduler()
    return ASHAScheduler(
        max_t=epochs,
        grace_period=min(options.grace_epochs, epochs),
        reduction_factor=options.reduction,
    )


def _keep_plan(folder: str, space: Space, config: TrainingConfig, options: SweepOptions) -> bool:
    """Save what is searched with a new sweep; true for an earlier sweep of the same.

    Raises:
        UserError: the earlier sweep is of something else, or nothing can be written there.
    """
    storage.check_writable(folder)
    plan = {
        "samples": options.samples,
        "scheduler": [options.scheduler, options.grace_epochs, options.reduction],
        "space": {name: dataclasses.asdict(spec) for name, spec in space.items()},
        "config": config.model_dump(mode="json"),
    }
    plan = json.loads(json.dumps(plan))
    saved = storage.read_bytes(storage.join(folder, PLAN))
    if saved is None:
        text = yaml.safe_dump(plan, sort_keys=False)
        storage.write_bytes(storage.join(folder, PLAN), text.encode())
        return False
    differing = [name for name, value in plan.items() if yaml.safe_load(saved).get(name) != value]
    if differing:
        raise UserError(
            f"{folder} holds another sweep ({', '.join(differing)} differ from its {PLAN}); take "
            "another --name, or the same options"
        )
    return True
