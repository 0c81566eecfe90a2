"""Sweeps on a real Ray cluster: what they find, what ends trials, and what a kill costs."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_sweep
from toy_sweep import EPOCHS, RATES, starts

from rnnray import run_folder
from rnnray.errors import UserError
from rnnray.tuning import search
from rnnray.tuning.space import Range


def test_the_best_trial_is_the_one_that_learns_best_and_another_sweep_of_the_name_is_refused(
    ray_cluster: None, tmp_path: Path
) -> None:
    trials = toy_sweep.run(tmp_path, RATES, scheduler="none")
    assert [trial.curve.values["optimizer.learning_rate"] for trial in trials] == RATES
    assert [trial.curve.status for trial in trials] == ["finished"] * 3
    assert [len(trial.reports) for trial in trials] == [EPOCHS] * 3
    best = [max(trial.curve.scores) for trial in trials]
    assert max(best) == best[1]
    for trial in trials:
        assert trial.checkpoint is not None
        assert (Path(trial.checkpoint) / "model.keras").is_file()
    with pytest.raises(UserError, match="holds a sweep of another configuration"):
        toy_sweep.run(tmp_path, RATES[::-1], scheduler="none")
    with (
        run_folder.lock(str(tmp_path / "toy")),
        pytest.raises(UserError, match="another run is writing there"),
    ):
        toy_sweep.run(tmp_path, RATES, scheduler="none")


@pytest.mark.faults
def test_a_diverging_a_killed_and_a_hanging_trial_with_a_damaged_checkpoint_do_not_end_the_sweep(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = {"nan_at": RATES[0], "hangs_at": RATES[1], "killed_at": RATES[2]}
    options: dict[str, float] = {"stuck_times": 20, "stuck_minutes": 0.1}
    trials = toy_sweep.run(tmp_path, RATES, scheduler="none", **planted, **options)
    assert [trial.curve.status for trial in trials] == ["diverged", "finished", "finished"]
    assert len(trials[0].reports) == 1
    assert math.isnan(trials[0].reports[0]["loss"])
    assert starts(tmp_path, RATES[0]) == 1  # no use in trying again
    assert starts(tmp_path, RATES[2]) == 2
    assert [report["epoch"] for report in trials[2].reports] == [1, 2, 3]
    assert starts(tmp_path, RATES[1]) == 2
    assert [report["epoch"] for report in trials[1].reports] == [1, 2, 3]
    out = capsys.readouterr().out
    assert re.search(r"trial-00001: stuck: no worker moved for \d+ s: .* waiting for its data", out)
    assert "checkpoint_000001 cannot be used: model.keras is damaged" in out
    assert out.count("trial-00001 epoch 1/3") == 1
    assert out.count("trial-00001 epoch 2/3") == 2


@pytest.mark.faults
def test_a_trial_that_always_dies_is_marked_and_the_others_finish(
    ray_cluster: None, tmp_path: Path
) -> None:
    trials = toy_sweep.run(
        tmp_path, RATES[:2], scheduler="none", killed_at=RATES[0], max_failures=0
    )
    assert [trial.curve.status for trial in trials] == ["failed", "finished"]


def test_one_process_runs_trials_with_xla_and_without(ray_cluster: None, tmp_path: Path) -> None:
    trials = toy_sweep.run(
        tmp_path, [0.1, 0.05], xla=(False, True), scheduler="none", max_concurrent=1
    )
    assert [trial.curve.values["xla"] for trial in trials] == [False, True]
    assert [trial.curve.status for trial in trials] == ["finished"] * 2


def test_asha_stops_the_poor_trials_early(ray_cluster: None, tmp_path: Path) -> None:
    # One after the other, the good one first: each poor one is compared with it.
    trials = toy_sweep.run(tmp_path, [0.1, 1e-7, 1e-7], max_concurrent=1)
    assert trials[0].curve.status == "finished"
    for trial in trials[1:]:
        assert trial.curve.status == "stopped"
        assert len(trial.reports) == 1


def test_a_seed_draws_the_same_sweep_and_another_seed_another() -> None:
    space = {"optimizer.learning_rate": Range(1e-4, 1e-1, log=True)}
    first, again = (search.draw(space, toy_sweep.CONFIG, count) for count in (3, 5))
    assert again[:3] == first
    other = toy_sweep.CONFIG.model_copy(update={"seed": 6})
    assert search.draw(space, other, 3) != first


def test_optuna_learns_from_the_trials_before_and_keeps_to_the_range(
    ray_cluster: None, tmp_path: Path
) -> None:
    trials = toy_sweep.run(
        tmp_path, [1e-6, 0.1], samples=2, searcher="optuna", scheduler="none", max_concurrent=1
    )
    rates = [trial.curve.values["optimizer.learning_rate"] for trial in trials]
    assert len(set(rates)) == 2
    assert all(1e-6 <= rate <= 0.1 for rate in rates)
    assert [trial.curve.status for trial in trials] == ["finished"] * 2


@pytest.mark.long
def test_population_based_training_puts_a_poor_trial_on_a_good_ones_weights(
    ray_cluster: None, tmp_path: Path
) -> None:
    trials = toy_sweep.run(tmp_path, [1e-6, 0.1], samples=4, scheduler="pbt")
    assert [trial.curve.status for trial in trials] == ["finished"] * 4
    firsts = [trial.curve.scores[0] for trial in trials]
    used = [[report["optimizer.learning_rate"] for report in trial.reports] for trial in trials]
    assert all(1e-6 <= rate <= 0.1 for rates in used for rate in rates)
    moved = [trial for trial, rates in zip(trials, used, strict=True) if rates[1] != rates[0]]
    assert [trial.curve.scores[0] for trial in moved] == [min(firsts)]
    assert moved[0].curve.scores[1] > max(firsts) - 0.1  # far above what it had learned itself


@pytest.mark.parametrize("killed_at", [-1, pytest.param(0.1, marks=pytest.mark.faults)])
def test_a_trial_of_two_workers_trains_and_gives_its_workers_back_when_it_is_stopped(
    own_ray: Path, tmp_path: Path, killed_at: float
) -> None:
    """In a process and a Ray of its own, with the dashboard that stopping such trials takes.

    Where a worker of the first trial is killed, the sweep starts that trial again.
    """
    done = subprocess.run(
        [sys.executable, toy_sweep.__file__, str(tmp_path), "wide", str(killed_at)],
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        | {
            "RAY_TMPDIR": str(own_ray),
            "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}",
        },
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert ("trial-00000 died; it resumes" in done.stdout) == (killed_at > 0)
    statuses, epochs, checkpoints = json.loads(done.stdout.splitlines()[-1])
    assert statuses == ["finished", "stopped"]
    assert epochs[1] < epochs[0]
    assert all((Path(checkpoint) / "model.keras").is_file() for checkpoint in checkpoints)


@pytest.mark.faults
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
    trials = toy_sweep.run(tmp_path, RATES, scheduler="none", max_concurrent=1, seconds=0.05)
    assert [trial.curve.status for trial in trials] == ["finished"] * 3
    assert [len(trial.reports) for trial in trials] == [EPOCHS] * 3
    assert starts(tmp_path, RATES[0]) == 1
    assert starts(tmp_path, RATES[2]) == 1
