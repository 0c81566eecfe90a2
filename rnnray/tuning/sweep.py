"""A sweep: many trials of one problem on a Ray cluster, found again after a crash."""

import dataclasses
import difflib
import json
import os
import stat
from collections.abc import Container, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import ray.tune
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    PlacementGroupFactory,
    ResultGrid,
    RunConfig,
    TuneConfig,
    Tuner,
)

from rnnray import cluster, run_folder, storage
from rnnray.errors import UserError
from rnnray.events import Event, Events
from rnnray.progress import say
from rnnray.run_lock import RunLock
from rnnray.training.checkpoints import read_initial
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig
from rnnray.tuning import search
from rnnray.tuning.space import Space
from rnnray.tuning.sweep_options import SweepOptions
from rnnray.tuning.sweep_report import Reports, SweepReport
from rnnray.tuning.trial import Problem, TrialJob, has_diverged, run_trial
from rnnray.tuning.trial_curve import Score
from rnnray.tuning.wide_trial import FreeWorkers, run_wide_trial

PLAN = "sweep.yaml"


def score_of(task: Task, metric: str | None) -> Score:
    """What decides which trial is best, and which end is better.

    Args:
        task: what is trained.
        metric: a metric that trials report; None for the task's own score.

    Raises:
        UserError: no trial reports it.
    """
    # Metrics of tasks are shares of what is right; only the loss is better when it is less.
    known: dict[str, Score] = {"validation_loss": ("validation_loss", "min")}
    known |= {f"validation_{name}": (f"validation_{name}", "max") for name in task.metric_names}
    if metric is None:
        return task.score
    if metric not in known:
        near = difflib.get_close_matches(metric, known, n=1)
        raise UserError(
            f"--metric {metric}: no trial reports that"
            + (f"; did you mean {near[0]}?" if near else f"; they report {', '.join(known)}")
        )
    return known[metric]


def run(
    problem: Problem,
    space: Space,
    options: SweepOptions,
    *,
    changeable: Container[str] = (),
    callbacks: tuple[ray.tune.Callback, ...] = (),
    data: Mapping[str, Any] = {},
) -> ResultGrid:
    """Run a sweep, or go on with the one of the same storage path and name.

    With the random searcher all trials are drawn before the first one starts, so that a sweep is a
    function of its seed, and a resumed one is the same.

    Args:
        problem: what is searched.
        space: see `rnnray.tuning.space.parse`.
        options: how.
        changeable: fields that may change in mid-training, for pbt.
        callbacks: of Ray Tune, besides ours.
        data: see `rnnray.training.rows.TrainingData.identity`.

    Returns:
        Ray Tune's results.

    Raises:
        UserError: the cluster is too small for a trial, the storage cannot be written, the sweep
            there is another one, on other data, at work in another process, or somebody else's.
    """
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    config = problem.config
    task = problem.task(config)
    metric, mode = score = score_of(task, options.metric)
    concurrent = _most_at_once(options)
    drawn = search.draw(space, config, options.samples)
    scheduler = search.scheduler(options, space, changeable, config.epochs, config.seed)
    searcher = None
    if options.searcher == "optuna":
        searcher = search.optuna_search(space, score, config.seed)
    plan = _plan(space, config, options)
    with run_folder.lock(folder) as lock, Events(_say_line) as events:
        _StopsWithoutLock.lock = lock
        resumes = run_folder.keep(folder, PLAN, plan, "a sweep", data=data) is not None
        initial = read_initial(config.init_from, task) if config.init_from else None
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the one that verbose=0 silences
        if "://" not in folder:
            # What Ray Tune has not noted when it is killed is done again. 0: it notes whatever
            # happens before it goes on; by default every 10 s, and an object store should not be
            # asked more.
            os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "0")
        wide = options.workers_per_trial > 1
        trainable = ray.tune.with_resources(
            # The job goes through the object store, once for all trials.
            partial(
                _run_job,
                ray.put(
                    TrialJob(problem, options, metric, folder, lock.held, events.tell, initial)
                ),
                wide,
            ),
            # The workers of a wide trial reserve theirs themselves; it must reserve something.
            PlacementGroupFactory([{"memory": 1}])
            if wide
            else {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial},
        )
        say(
            f"{'resuming' if resumes else 'sweeping'} {folder}: {options.samples} trials of at "
            f"most {config.epochs} epochs over {', '.join(space)}"
        )
        if resumes and Tuner.can_restore(folder):
            _check_owner(folder)
            return Tuner.restore(folder, trainable, resume_errored=True).fit()
        minutes = options.time_budget_minutes
        tuner = Tuner(
            trainable,
            param_space={} if searcher else {"values": ray.tune.grid_search(drawn)},
            tune_config=TuneConfig(
                metric=None if searcher else metric,
                mode=None if searcher else mode,
                search_alg=searcher,
                num_samples=options.samples if searcher else 1,
                scheduler=scheduler,
                max_concurrent_trials=concurrent,
                # Importing TensorFlow takes as long as training a small trial.
                reuse_actors=not wide,
                time_budget_s=None if minutes is None else minutes * 60,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=RunConfig(
                storage_path=storage.absolute(options.storage_path),
                name=options.name,
                stop=has_diverged,
                failure_config=FailureConfig(max_failures=options.max_failures),
                checkpoint_config=CheckpointConfig(
                    # The best two and the last, so that one before a damaged one is there; of pbt's
                    # trials all, for others go on from them.
                    num_to_keep=None if options.scheduler == "pbt" else 2,
                    checkpoint_score_attribute=metric,
                    checkpoint_score_order=mode,
                ),
                callbacks=[
                    SweepReport(score, config.epochs, options.samples),
                    Reports(),
                    _StopsWithoutLock(),
                    *([FreeWorkers()] if wide else []),
                    *callbacks,
                ],
                verbose=0,
            ),
        )
        return tuner.fit()


def _say_line(event: Event) -> None:
    if event["kind"] == "line":
        say(event["text"])


class _StopsWithoutLock(ray.tune.Callback):  # type: ignore[misc]
    """Ends a sweep once another one has its lock."""

    # Not the object's: Ray Tune pickles that, and goes on with it in another process.
    lock: ClassVar[RunLock | None] = None

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Before Ray Tune starts, stops or stores anything."""
        if self.lock is not None:
            self.lock.check()


def _check_owner(folder: str) -> None:
    """Refuse a local sweep that is somebody else's: Ray Tune unpickles its state, which runs code.

    Of an object store, whoever may write there is trusted; see SECURITY.md.

    Raises:
        UserError: another user owns it, or everybody may write there.
    """
    if "://" in folder:
        return
    # Not the hidden ones: Ray Tune reads none, and our lock's come and go.
    files = (path for path in Path(folder).iterdir() if path.name[0] != "." and path.is_file())
    for path in (Path(folder), *files):
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            raise UserError(
                f"{path}: others can write there (owner {status.st_uid}, mode "
                f"{stat.filemode(status.st_mode)}), and to go on with a sweep runs what Ray Tune "
                "stored; take another --name or, if you trust it, make it yours (chown, chmod o-w)"
            )


def _run_job(job: Any, wide: bool, arguments: dict[str, Any]) -> None:
    """What Ray Tune calls in a trial's process."""
    (run_wide_trial if wide else run_trial)(arguments, job=ray.get(job))


def _most_at_once(options: SweepOptions) -> int | None:
    """Trials at the same time; None for as many as Ray Tune finds room for.

    Raises:
        UserError: the cluster never has room for one.
    """
    cluster.check_fits(options.cpus_per_trial, options.gpus_per_trial)
    if options.workers_per_trial == 1:
        return options.max_concurrent
    # Ray Tune does not see the workers of its trials: more trials than fit would wait for each
    # other's.
    workers = cluster.room_for(options.cpus_per_trial, options.gpus_per_trial)
    fit = workers // options.workers_per_trial
    if not fit:
        raise UserError(
            f"--workers-per-trial {options.workers_per_trial}: this cluster has room for "
            f"{workers} such workers; use fewer, or less with --cpus-per-trial, --gpus-per-trial"
        )
    return min(fit, options.max_concurrent or fit)


def _name(trial: Any) -> str:
    """trial-00003: the trial's number as it was drawn."""
    return f"trial-{int(trial.experiment_tag.partition('_')[0]):05d}"


def _plan(space: Space, config: TrainingConfig, options: SweepOptions) -> dict[str, Any]:
    """What determines a sweep's result, as plain values."""
    plan: dict[str, Any] = {
        "samples": options.samples,
        "metric": options.metric,
        "searcher": options.searcher,
        "scheduler": options.scheduler,
        "report_every": options.report_every,
        "workers_per_trial": options.workers_per_trial,
        "space": {name: dataclasses.asdict(spec) for name, spec in space.items()},
        "config": config.model_dump(mode="json"),
    }
    if options.scheduler == "asha":
        plan |= {"grace_epochs": options.grace_epochs, "reduction": options.reduction}
    if options.scheduler == "pbt":
        plan |= {"exchange_epochs": options.exchange_epochs}
    plain: dict[str, Any] = json.loads(json.dumps(plan))
    return plain
