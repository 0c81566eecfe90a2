"""A sweep: many trials of one problem on a Ray cluster, which resumes after a crash."""

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
    """Return the metric that selects the best trial, and whether less or more is better.

    Args:
        task: task of the trials.
        metric: a metric that trials report; None for the task's own.

    Raises:
        UserError: no trial reports the metric.
    """
    if metric in (None, task.score[0]):
        return task.score
    known: dict[str, Score] = {"validation_loss": ("validation_loss", "min")}
    # More of a share is better. Of an error less is, and of other metrics nobody knows.
    known |= {f"validation_{name}": (f"validation_{name}", "max") for name in task.shares}
    if metric not in known:
        if metric in [f"validation_{name}" for name in task.metric_names]:
            raise UserError(
                f"--metric {metric}: nothing says whether more of it is better; name it in the "
                "task's `score`, or in its `shares` if it is a share"
            )
        known[task.score[0]] = task.score
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
    """Run a sweep, or resume the one of the same storage path and name.

    The random searcher draws all trials before the first one starts. So a sweep depends on its seed
    alone, and a resumed sweep is the same.

    Args:
        problem: the problem whose configuration is searched.
        space: see `rnnray.tuning.space.parse`.
        options: how to search.
        changeable: fields that may change in mid-training, for pbt.
        callbacks: callbacks of Ray Tune, besides ours.
        data: see `rnnray.training.rows.TrainingData.identity`.

    Returns:
        Ray Tune's results.

    Raises:
        UserError: the cluster is too small for a trial; the storage cannot be written; or the
            folder has a sweep of another configuration, of other data, at work in another process,
            or of another user.
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
        resumes = run_folder.save_or_compare(folder, PLAN, plan, "a sweep", data=data) is not None
        initial = read_initial(config.init_from, task) if config.init_from else None
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the output that verbose=0 silences
        if "://" not in folder:
            # 0: Ray Tune saves its state at every change, since a kill loses all later changes. An
            # object store gets the default, every 10 s, to spare it requests.
            os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "0")
        wide = options.workers_per_trial > 1
        trainable = ray.tune.with_resources(
            # Through the object store: one copy for all trials.
            partial(
                _run_job,
                ray.put(
                    TrialJob(problem, options, metric, folder, lock.held, events.tell, initial)
                ),
                wide,
            ),
            # The workers of a wide trial reserve resources themselves; the trial must reserve
            # something.
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
                    # The best two and the last: should one be damaged, there is one before it. Of
                    # pbt's trials all, because other trials go on from them.
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

    # An attribute of the class: Ray Tune pickles the object and uses it in another process.
    lock: ClassVar[RunLock | None] = None

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Called before Ray Tune starts, stops or saves anything."""
        if self.lock is not None:
            self.lock.check()


def _check_owner(folder: str) -> None:
    """Refuse a local sweep of another user: Ray Tune unpickles its state, which runs code.

    Everyone who may write to an object store is trusted; see SECURITY.md.

    Raises:
        UserError: another user owns the folder or a file in it, or everybody may write to it.
    """
    if "://" in folder:
        return
    # Without the hidden ones, which Ray Tune does not read and which come and go as locks are
    # written.
    files = (path for path in Path(folder).iterdir() if path.name[0] != "." and path.is_file())
    for path in (Path(folder), *files):
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            raise UserError(
                f"{path}: others can write there (owner {status.st_uid}, mode "
                f"{stat.filemode(status.st_mode)}), and resuming a sweep runs what Ray Tune "
                "stored; use another --name or, if you trust the folder, make it yours (chown, "
                "chmod o-w)"
            )


def _run_job(job: Any, wide: bool, arguments: dict[str, Any]) -> None:
    """Run a trial; Ray Tune calls this in the trial's process."""
    (run_wide_trial if wide else run_trial)(arguments, job=ray.get(job))


def _most_at_once(options: SweepOptions) -> int | None:
    """Return the number of trials at the same time; None for all that Ray Tune finds room for.

    Raises:
        UserError: the cluster never has room for one.
    """
    cluster.check_fits(options.cpus_per_trial, options.gpus_per_trial)
    if options.workers_per_trial == 1:
        return options.max_concurrent
    # Ray Tune does not see the workers of its trials: with more trials than fit, each would wait
    # for the workers of another.
    workers = cluster.room_for(options.cpus_per_trial, options.gpus_per_trial)
    fit = workers // options.workers_per_trial
    if not fit:
        raise UserError(
            f"--workers-per-trial {options.workers_per_trial}: this cluster has room for "
            f"{workers} such workers; use fewer, or less with --cpus-per-trial, --gpus-per-trial"
        )
    return min(fit, options.max_concurrent or fit)


def _name(trial: Any) -> str:
    """Return a trial's name from the order of drawing, such as trial-00003."""
    return f"trial-{int(trial.experiment_tag.partition('_')[0]):05d}"


def _plan(space: Space, config: TrainingConfig, options: SweepOptions) -> dict[str, Any]:
    """Return everything that determines a sweep's result, as plain values."""
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
