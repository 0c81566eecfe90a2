"""One training run on three nodes, and fifty faults at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import costs
import pytest
from nodes import Nodes, nodes_up
from observed import wait_until
from paced_run import EPOCHS, STEPS
from tiny import REPOSITORY
from toy_faults import trace

pytestmark = pytest.mark.faults

COUNTS = {"worker killed": 15, "worker stopped": 12, "disk full": 10, "node cut off": 8}
COUNTS["node killed"] = 50 - sum(COUNTS.values())
SEED = 16


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk of one's own can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.fixture
def nodes(disk: Path) -> Iterator[Nodes]:
    """A head and two nodes, which see the disk."""
    with nodes_up(workers=2) as nodes:
        yield nodes


def begin(nodes: Nodes, folder: Path, storage: Path) -> subprocess.Popen[bytes]:
    """Start the run; its output goes into the folder."""
    return subprocess.Popen(
        nodes.command(
            "run", "--", sys.executable, "-u", "tests/cluster/paced_run.py", folder, storage
        ),
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}/tests:{REPOSITORY}/tests/cluster"},
        stdout=(folder / "out").open("a"),
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen[bytes], folder: Path) -> list[dict[str, float]]:
    """Wait for its end; the history of its epochs."""
    process.wait(timeout=900)
    said = (folder / "out").read_text()
    assert process.returncode == 0, said
    (last,) = [line for line in said.splitlines() if line.startswith("[{")]
    history: list[dict[str, float]] = json.loads(last)
    return history


class Faults:
    """What is done to the run; each fault is over when its method returns."""

    def __init__(self, nodes: Nodes, disk: Path, dice: random.Random) -> None:
        self._nodes, self._disk, self._dice = nodes, disk, dice
        self._does: dict[str, Callable[[], None]] = {
            "worker killed": lambda: os.kill(self._trainer(), signal.SIGKILL),
            "worker stopped": self._stop,
            "disk full": self._fill,
            "node cut off": lambda: self._lose("cut", "heal"),
            "node killed": lambda: self._lose("kill", "start"),
        }

    def __call__(self, name: str) -> None:
        with suppress(ProcessLookupError):  # the worker ended by itself in between
            self._does[name]()

    def _wait(self, seconds: float) -> None:
        time.sleep(self._dice.uniform(0.5, seconds))

    def _trainer(self) -> int:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = [
                pid for node in ("head", "node1", "node2") for pid in self._nodes.trainers(node)
            ]
            if found:
                return self._dice.choice(sorted(found))
            time.sleep(0.2)
        raise AssertionError("nobody trains")

    def _stop(self) -> None:
        """For less or more than the watchdog waits."""
        pid = self._trainer()
        os.kill(pid, signal.SIGSTOP)
        self._wait(30)
        os.kill(pid, signal.SIGCONT)

    def _fill(self) -> None:
        filler = self._disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        self._wait(25)
        filler.unlink()

    def _lose(self, loss: str, return_: str) -> None:
        node = self._dice.choice(["node1", "node2"])
        self._nodes(loss, node)
        self._wait(30)
        for attempt in range(5):  # a busy machine starts a node too slowly for Ray
            done = self._nodes.try_(return_, node)
            if not done.returncode:
                return
            assert attempt < 4, done.stdout + done.stderr


def test_fifty_random_faults_change_nothing_of_what_is_learned(
    nodes: Nodes, disk: Path, tmp_path: Path
) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    for folder in (unbroken, broken):
        folder.mkdir()
    (unbroken / "over").touch()
    expected = finish(begin(nodes, unbroken, tmp_path / "runs"), unbroken)

    dice = random.Random(SEED)
    faults = Faults(nodes, disk, dice)
    began = time.monotonic()
    process = begin(nodes, broken, disk)
    try:
        wait_until((disk / "toy/checkpoint_manager_snapshot.json").exists, seconds=300)
        for name in dice.sample(list(COUNTS), 50, counts=COUNTS.values()):
            time.sleep(dice.uniform(0, 12))
            assert process.poll() is None, (broken / "out").read_text()
            with (broken / "out").open("a") as out:
                out.write(f"fault after {time.monotonic() - began:.0f} s: {name}\n")
            faults(name)
        (broken / "over").touch()
        history = finish(process, broken)
    finally:
        process.kill()
        process.wait()

    said = (broken / "out").read_text()
    again = max(len(trace(broken, rank)) for rank in (0, 1)) - EPOCHS * STEPS
    costs.note(
        "50 random faults",
        f"workers started again {said.count('starting the workers again')} times",
        again,
        time.monotonic() - began,
    )
    assert [each["steps"] for each in history] == [STEPS] * EPOCHS
    for metric in ("loss", "right", "validation_loss", "validation_right"):
        assert [each[metric] for each in history] == pytest.approx(
            [each[metric] for each in expected], rel=1e-5
        )
