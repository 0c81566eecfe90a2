"""The cost of a sweep beside its training: the same trials through Ray Tune, and by hand."""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import ray.tune
from ray.tune.experiment import Trial

from rnnray.progress import say
from rnnray.training import strategy
from rnnray.training.rows import TrainingData
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig
from rnnray.training.worker import Worker
from rnnray.tuning import results, search, sweep
from rnnray.tuning.space import Space, with_values
from rnnray.tuning.sweep_options import SweepOptions
from rnnray.tuning.trial import Problem


def overhead(problem: Problem, space: Space, *, samples: int, at_once: int) -> dict[str, float]:
    """Time a sweep, and the same configurations by hand, each in a fresh process.

    Args:
        problem: the problem whose configuration is searched.
        space: fields that do not change the data.
        samples: number of trials; none is stopped early.
        at_once: number of trials at the same time, with one CPU each.

    Returns:
        ratio: the sweep's seconds over those by hand, process starts included on both sides;
            ratio_to_training: the sweep's seconds over those that runs by hand spent in epochs;
            seconds_to_first_step: from the start of a trial, the mean of all; first_trials and
            later_trials: the same of trials that started a process, and of trials that found one;
            sweep_seconds, by_hand_seconds and by_hand_training_seconds: wall time.
    """
    config = problem.config
    configs = [with_values(config, v) for v in search.draw(space, config, samples)]
    say(f"by hand: {samples} processes, {at_once} at a time")
    data = problem.data(config)
    at_hand = TrainingData(data.training.at_hand(), data.validation.at_hand())
    started = time.monotonic()
    with ProcessPoolExecutor(
        at_once, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        jobs = [(problem.task(each), each, at_hand) for each in configs]
        training = sum(pool.map(_train_by_hand, *zip(*jobs, strict=True))) / at_once
    by_hand = time.monotonic() - started
    say(f"    {by_hand:.1f} s, {training:.1f} s of it in epochs")
    say(f"through Ray Tune: {samples} trials, {at_once} at a time")
    starts = _Starts()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        grid = sweep.run(
            problem,
            space,
            SweepOptions(
                storage_path=folder, samples=samples, scheduler="none", max_concurrent=at_once
            ),
            callbacks=(starts,),
        )
        seconds = time.monotonic() - started
        trials = results.collect(grid, problem.task(config).score, config.epochs)
        assert [trial.curve.status for trial in trials] == ["finished"] * samples
    say(f"    {seconds:.1f} s")
    waits = [starts.seconds[trial] for trial in starts.started]
    first, later = waits[:at_once], waits[at_once:] or waits
    return {
        "ratio": seconds / by_hand,
        "ratio_to_training": seconds / training,
        "seconds_to_first_step": sum(waits) / len(waits),
        "first_trials": sum(first) / len(first),
        "later_trials": sum(later) / len(later),
        "sweep_seconds": seconds,
        "by_hand_seconds": by_hand,
        "by_hand_training_seconds": training,
    }


class _Starts(ray.tune.Callback):  # type: ignore[misc]
    """Measures the time from each trial's start to its first step, compilation included."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self.started.setdefault(trial.trial_id, time.time())

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        waited = result["compiled_at"] - self.started[trial.trial_id]
        self.seconds.setdefault(trial.trial_id, waited)


def _train_by_hand(task: Task, config: TrainingConfig, data: TrainingData) -> float:
    """Train on one CPU without Ray; return the seconds in epochs."""
    strategy.configure_devices(1, small_operations=task.unrolls and not config.xla)
    from rnnray.training.loop import TrainingLoop  # noqa: PLC0415  (imports TensorFlow)

    worker = Worker(
        rank=0,
        count=1,
        training=data.training,
        validation=data.validation,
        tell=_ignore,
        report=_ignore,
    )
    history = TrainingLoop(
        task,
        config,
        worker,
        strategy.create_strategy(1),
    ).run()
    return sum(metrics["seconds"] for metrics in history)


def _ignore(*_: Any) -> None:
    """Ignore an event: nobody listens."""
