"""Several real nodes on this machine (cluster/local), and a training job on them that is hurt."""

import json
import re
import runpy
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tiny import REPOSITORY, TINY

LOCAL = REPOSITORY / "cluster/local"
CHECKPOINT_SECONDS = 6.0
EPOCHS = 3
STEPS = 1250
_BATCH = 16
RECOVERY_SECONDS = 90.0


def need_namespaces() -> None:
    """Skip the test where nodes cannot have network namespaces of their own."""
    placement = runpy.run_path(str(LOCAL / "placement.py"))
    if not placement["Namespaces"].allowed():
        pytest.skip("this user may not make network namespaces here")


def runs(pid: int) -> bool:
    """Whether there is such a process, and nobody only forgot to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Nodes:
    """The command cluster/local/nodes with a state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def command(self, *words: object) -> list[str]:
        """The command line."""
        return [sys.executable, str(LOCAL / "nodes"), "--state", str(self.state), *map(str, words)]

    def __call__(self, *words: object) -> str:
        """Run it; what it said."""
        done = self.try_(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run it, however it ends."""
        return subprocess.run(
            self.command(*words),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def states(self) -> dict[str, str]:
        """The state of each node."""
        lines = (line.split(maxsplit=4) for line in self("status").splitlines())
        return {line[0]: line[4] for line in lines}

    def all_alive(self) -> None:
        """Bring back what earlier tests ended."""
        for name, state in self.states().items():
            if state != "alive":
                self("start", name)

    def pids(self, node: str) -> list[int]:
        """The processes of a node."""
        namespaces = subprocess.check_output(["ip", "netns", "list"], text=True).split()
        (name,) = [each for each in namespaces if each == f"{self.cluster()}-{node}"]
        return [int(pid) for pid in subprocess.check_output(["ip", "netns", "pids", name]).split()]

    def trainers(self, node: str) -> list[int]:
        """The training workers' processes on a node."""
        found = []
        for pid in self.pids(node):
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
            except FileNotFoundError:
                continue
            if b"RayTrainWorker" in title:
                found.append(pid)
        return found

    def cluster(self) -> str:
        """What the names of its namespaces begin with."""
        nodes = json.loads((self.state / "nodes.json").read_text())
        return str(nodes["name"])


class TrainingJob:
    """jobs/train_sketch.py on the head of the nodes, and what it says, and when.

    Small enough to take a minute, and with a checkpoint every few seconds.
    """

    def __init__(self, nodes: Nodes, folder: Path, workers: str) -> None:
        config = folder / "config.yaml"
        config.write_text(json.dumps(TINY | {"epochs": EPOCHS, "global_batch_size": _BATCH}))
        self._storage = folder / "runs"
        command = nodes.command(
            *("run", "--", "jobs/train_sketch.py", "--config", config),
            *("--data", f"demo:{STEPS * _BATCH}", "--workers", workers),
            *("--checkpoint-minutes", CHECKPOINT_SECONDS / 60),
            *("--storage-path", self._storage, "--name", "hurt"),
        )
        self._lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr.log").open("a"),
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append((time.monotonic(), line.rstrip()))

    @property
    def said(self) -> str:
        """All of it so far."""
        return "\n".join(line for _, line in self._lines)

    def wait_for(
        self, pattern: str, *, since: float = 0.0, seconds: float = 150.0
    ) -> tuple[float, re.Match[str]]:
        """Wait for a line that was said since a moment; when that was, and the match."""
        deadline = time.monotonic() + seconds
        while True:
            running = self.process.poll() is None
            for moment, line in list(self._lines):
                found = re.search(pattern, line)
                if moment >= since and found:
                    return moment, found
            assert running, f"ended before {pattern}:\n{self.said}"
            assert time.monotonic() < deadline, f"no {pattern} in {seconds} s:\n{self.said}"
            time.sleep(0.2)

    def wait_until_at_work(self) -> None:
        """Wait until it is in the middle of the second epoch, with a checkpoint in it."""
        self.wait_for(r"epoch 1/\d done", seconds=300)
        deadline = time.monotonic() + 120
        while not list((self._storage / "hurt").glob("epoch-0001-step-*/position.json")):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.2)
        self.wait_for(r"epoch 2/\d  step", seconds=60)

    def steps_done(self) -> int:
        """Steps from the first epoch's beginning that it told of."""
        steps = re.findall(r"epoch (\d+)/\d  step ([\d,]+)/", self.said)
        epoch, step = steps[-1]
        return (int(epoch) - 1) * STEPS + int(step.replace(",", ""))

    def checkpoint_age(self) -> float:
        """Seconds since the last checkpoint was stored."""
        found = (self._storage / "hurt").glob("epoch-*/position.json")
        return time.time() - max(path.stat().st_mtime for path in found)

    def result(self) -> dict[str, Any]:
        """Wait for its end: the last line, once all epochs are there exactly once."""
        self.process.wait(timeout=400)
        self._reader.join(timeout=30)
        assert self.process.returncode == 0, self.said
        # Ray's own lines about nodes that it lost may come behind it.
        (last,) = [line for _, line in self._lines if line.startswith("{")]
        result: dict[str, Any] = json.loads(last)
        position = json.loads((Path(result["last_checkpoint"]) / "position.json").read_text())
        history = position["history"]
        assert [metrics["epoch"] for metrics in history] == list(range(1, EPOCHS + 1))
        # Another number of workers shares the rows anew, in the middle of an epoch too.
        assert all(abs(metrics["steps"] - STEPS) <= 1 for metrics in history)
        assert {metrics["validation_count"] for metrics in history} == {STEPS * _BATCH // 10}
        assert result["epochs"] == EPOCHS
        return result

    def stop(self) -> None:
        """End it, if it runs."""
        self.process.kill()
        self.process.wait()


def back_at_work(job: TrainingJob, *, since: float, done: int, fault: str) -> None:
    """Check and print what a fault cost: `done` steps were done when it came, at `since`."""
    _, resumed = job.wait_for(r"resumed at epoch (\d+) of \d+, behind step (\d+)", since=since)
    moment, _ = job.wait_for(r"epoch \d+/\d+  step", since=since, seconds=RECOVERY_SECONDS)
    again = done - ((int(resumed[1]) - 1) * STEPS + int(resumed[2]))
    print(f"{fault}: {max(again, 0)} steps done again, {moment - since:.0f} s to recover")  # noqa: T201
    assert moment - since < RECOVERY_SECONDS
