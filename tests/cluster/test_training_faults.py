"""Notices and stragglers, in real runs on two workers; each test prints what was lost."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import costs
import pytest
from nodes import runs
from observed import wait_until
from tiny import REPOSITORY
from toy_faults import (
    STEPS,
    Aside,
    Hung,
    Noticed,
    SlowDisk,
    Traced,
    check_history,
    seconds_to_recover,
    trace,
    train_toy,
)

pytestmark = pytest.mark.faults

GRACE_SECONDS = 30


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_gets_sigterm_leaves_a_checkpoint_in_time_and_no_step_is_lost(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], rank: int
) -> None:
    took: list[float] = []

    def cloud() -> None:
        wait_until((tmp_path / "fault").exists)
        time.sleep(0.1)
        pid = int((tmp_path / "fault").read_text())
        began = time.monotonic()
        while runs(pid):
            if time.monotonic() - began > GRACE_SECONDS:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        took.append(time.monotonic() - began)

    task = Noticed(folder=str(tmp_path), rank=rank, batches=STEPS + STEPS // 2)
    with Aside(cloud):
        run = train_toy(task)
    out = capsys.readouterr().out
    noticed = re.findall(rf"worker {rank} was told to leave: checkpoint at step (\d+)", out)
    assert noticed, out
    assert re.findall(r"resumed in epoch 2 of 2, after step (\d+)", out) == noticed, out
    check_history(run)
    assert took[0] < GRACE_SECONDS
    seconds = seconds_to_recover(tmp_path)
    costs.note(f"SIGTERM to worker {rank}", f"gone after {took[0]:.1f} s", 0, seconds)
    assert seconds < 90


def test_a_drained_node_is_left_in_time_and_costs_none_of_the_failures(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "drained_node.py", tmp_path],
        cwd=REPOSITORY,
        env=os.environ
        | {
            "PYTHONPATH": f"{REPOSITORY}/tests:{REPOSITORY}/tests/cluster",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or it listens on the network too
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"worker (\d) was told to leave: checkpoint at step (\d+)", done.stdout)
    recovered = re.findall(r"^recovered after (.+) s$", done.stdout, re.MULTILINE)
    costs.note("node drained", "checkpoint, moves to another node", 0, float(recovered[0]))
    assert float(recovered[0]) < 90


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("read", "is stuck: waiting for its data"),
        ("step", "is stuck: computing a step"),
        ("stopped", "is stuck: silent for"),
    ],
)
def test_a_worker_that_is_alive_and_stuck_is_named_and_costs_one_failure(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, words: str
) -> None:
    task = Hung(folder=str(tmp_path), where=where, batches=STEPS + STEPS // 2)
    run = train_toy(task, stuck_times=20, stuck_minutes=0.1, max_failures=1)
    out = capsys.readouterr().out
    check_history(run)
    assert re.search(rf"stuck: no worker moved for \d+ s: worker 1 on [\d.]+ {words}", out), out
    assert "worker 0 on" not in out.partition("stacks of")[0], out
    told = set(re.findall(r"stacks of worker (\d)", out))
    assert told == ({"0"} if where == "stopped" else {"0", "1"})
    source = {"read": "toy_faults.py:", "step": "in _step", "stopped": "in _step"}[where]
    assert source in out
    assert out.count("starting the workers again, from the last checkpoint") == 1
    seconds = seconds_to_recover(tmp_path)
    costs.note(f"worker stuck ({where})", "named, the group starts again", 0, seconds)
    assert seconds < 120


@pytest.mark.parametrize("kind", ["stopped", "slow disk"])
def test_a_straggler_is_named_and_the_others_are_not(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    finished = threading.Event()

    def throttle() -> None:
        """Leave worker 1 a tenth of its time."""
        wait_until(lambda: len(trace(tmp_path, 1)) > 20)
        pid = trace(tmp_path, 1)[-1][0]
        with suppress(ProcessLookupError):  # its run is over
            while not finished.is_set():
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.45)
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.05)

    if kind == "stopped":
        with Aside(throttle):
            run = train_toy(Traced(folder=str(tmp_path)), epochs=1)
            finished.set()
    else:
        run = train_toy(SlowDisk(folder=str(tmp_path), rank=1), epochs=1)
    out = capsys.readouterr().out
    check_history(run, epochs=1)
    lines = [line for line in out.splitlines() if "times as long as the others" in line]
    assert lines, out
    costs.note(f"straggler ({kind})", lines[0], 0, 0)
    assert all(re.search(r"worker 1 on [\d.]+ takes \d+ times", line) for line in lines)
    if kind == "slow disk":
        assert "mostly waiting for its data" in lines[0]
