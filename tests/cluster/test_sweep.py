"""Sweeps on a real Ray cluster: what they find, what ends trials, and what a kill costs."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_sweep
from toy_sweep import EPOCHS, RATES, starts

from rnnray.errors import UserError


def test_the_best_trial_is_the_one_that_learns_best(ray_cluster: None, tmp_path: Path) -> None:
    trials = toy_sweep.run(tmp_path, RATES, scheduler="none")
    assert [trial.curve.values["optimizer.learning_rate"] for trial in trials] == RATES
    assert [trial.curve.status for trial in trials] == ["finished"] * 3
    assert [len(trial.reports) for trial in trials] == [EPOCHS] * 3
    best = [max(trial.curve.scores) for trial in trials]
    assert max(best) == best[1]
    for trial in trials:
        assert trial.checkpoint is not None
        assert (Path(trial.checkpoint) / "model.keras").is_file()


def test_a_diverging_and_a_killed_trial_do_not_end_the_sweep(
    ray_cluster: None, tmp_path: Path
) -> None:
    trials = toy_sweep.run(tmp_path, RATES, scheduler="none", nan_at=RATES[0], killed_at=RATES[2])
    assert [trial.curve.status for trial in trials] == ["diverged", "finished", "finished"]
    assert len(trials[0].reports) == 1
    assert math.isnan(trials[0].reports[0]["loss"])
    assert starts(tmp_path, RATES[0]) == 1  # no use in trying again
    assert starts(tmp_path, RATES[2]) == 2
    assert [report["epoch"] for report in trials[2].reports] == [1, 2, 3]


def test_a_trial_that_always_dies_is_marked_and_the_others_finish(
    ray_cluster: None, tmp_path: Path
) -> None:
    trials = toy_sweep.run(
        tmp_path, RATES[:2], scheduler="none", killed_at=RATES[0], max_failures=0
    )
    assert [trial.curve.status for trial in trials] == ["failed", "finished"]


def test_asha_stops_the_poor_trials_early(ray_cluster: None, tmp_path: Path) -> None:
    # One after the other, the good ones first: each poor one is compared with them.
    rates = [0.1, 0.1, 0.1, 1e-7, 1e-7, 1e-7]
    trials = toy_sweep.run(tmp_path, rates, max_concurrent=1)
    assert trials[0].curve.status == "finished"
    for trial in trials[3:]:
        assert trial.curve.status == "stopped"
        assert len(trial.reports) == 1


def test_a_sweep_whose_driver_is_killed_goes_on_without_running_finished_trials_again(
    ray_cluster: None, tmp_path: Path
) -> None:
    import ray  # noqa: PLC0415

    driver = subprocess.Popen(
        [sys.executable, toy_sweep.__file__, str(tmp_path)],
        env=os.environ
        | {
            "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
            "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 150
    while starts(tmp_path, RATES[1]) == 0:
        assert time.monotonic() < deadline, "the second trial never started"
        assert driver.poll() is None, "the driver ended by itself"
        time.sleep(0.2)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    trials = toy_sweep.run(tmp_path, RATES, scheduler="none", max_concurrent=1, seconds=0.2)
    assert [trial.curve.status for trial in trials] == ["finished"] * 3
    assert [len(trial.reports) for trial in trials] == [EPOCHS] * 3
    assert starts(tmp_path, RATES[0]) == 1
    assert starts(tmp_path, RATES[2]) == 1


def test_a_sweep_of_something_else_under_the_same_name_is_refused(
    ray_cluster: None, tmp_path: Path
) -> None:
    toy_sweep.run(tmp_path, RATES[1:2], scheduler="none")
    with pytest.raises(UserError, match="holds another sweep"):
        toy_sweep.run(tmp_path, RATES[:1], scheduler="none")


def test_more_than_any_node_has_is_refused_before_anything_starts(
    ray_cluster: None, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no node of this cluster has 1 CPUs and 7 GPUs"):
        toy_sweep.run(tmp_path, RATES, gpus_per_trial=7)
