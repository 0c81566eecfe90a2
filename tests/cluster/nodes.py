"""Several real nodes on this machine (cluster/local), and a training job on them that is hurt."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import costs
import pytest
from tiny import REPOSITORY, TINY

LOCAL = REPOSITORY / "cluster/local"
CHECKPOINT_SECONDS = 6.0
EPOCHS = 3
STEPS = 1250
_BATCH = 16
RECOVERY_SECONDS = 90.0
# Until a checkpoint that is due counts: written, stored, and seen by Ray Train, which looks every
# two seconds.
STORE_SECONDS = 6.0


def need_namespaces() -> None:
    """Skip the test where nodes cannot have network namespaces of their own."""
    placement = runpy.run_path(str(LOCAL / "placement.py"))
    if not placement["Namespaces"].allowed():
        pytest.skip("this user may not make network namespaces here")


def runs(pid: int) -> bool:
    """Whether there is such a process, and nobody only forgot to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
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

    def commands(self, node: str) -> dict[int, bytes]:
        """The command line of each process of a node, its words ended by zeros."""
        found = {}
        for pid in self.pids(node):
            with suppress(OSError):  # it has ended
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
        return found

    def trainers(self, node: str) -> list[int]:
        """The training workers' processes on a node."""
        return [pid for pid, title in self.commands(node).items() if b"RayTrainWorker" in title]

    def cluster(self) -> str:
        """What the names of its namespaces begin with."""
        return str(self._saved()["name"])

    def address(self, node: str) -> str:
        """The address of a node."""
        return str(self._saved()["nodes"][node]["address"])

    def _saved(self) -> dict[str, Any]:
        saved: dict[str, Any] = json.loads((self.state / "nodes.json").read_text())
        return saved


@contextmanager
def nodes_up(workers: int) -> Iterator[Nodes]:
    """A head and other nodes, one CPU each, within the context."""
    need_namespaces()
    with tempfile.TemporaryDirectory(prefix="nodes", ignore_cleanup_errors=True) as folder:
        nodes = Nodes(Path(folder) / "state")
        try:
            nodes("up", "--workers", workers)
            yield nodes
        finally:
            nodes("down")


class TrainingJob:
    """jobs/train_sketch.py on the head of the nodes, and what it says, and when.

    Small enough to take a minute, and with a checkpoint every few seconds. Submitted to the head's
    job server, or started there by hand.
    """

    def __init__(self, nodes: Nodes, folder: Path, workers: str, *, submit: bool = False) -> None:
        self._nodes = nodes
        config = folder / "config.yaml"
        config.write_text(json.dumps(TINY | {"epochs": EPOCHS, "global_batch_size": _BATCH}))
        self._storage = folder / "runs"
        command = nodes.command(
            *("run", "--"),
            *(("ray", "job", "submit", "--working-dir", ".", "--") if submit else ()),
            *("jobs/train_sketch.py", "--config", config),
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
        """Wait until it is in the second epoch, with a checkpoint in it."""
        self.wait_for(r"epoch 1/\d done", seconds=300)
        deadline = time.monotonic() + 120
        while "epoch-0001-step-" not in " ".join(self.checkpoints()):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.2)

    def wait_for_progress(self) -> int:
        """Wait for the next line that says how far it is; the steps done since the beginning.

        Right after it is the moment for a fault: a line comes every five seconds, and later
        nobody could say how many steps were done.
        """
        _, told = self.wait_for(
            r"epoch (\d)/\d  step (\d{3}|\d,\d{3})/", since=time.monotonic(), seconds=60
        )
        return steps(told)

    def checkpoints(self) -> dict[str, float]:
        """When each checkpoint that is there now was stored, in seconds since 1970."""
        found = (self._storage / "hurt").glob("epoch-*/position.json")
        return {path.parent.name: path.stat().st_mtime for path in found}

    def result(self) -> dict[str, Any]:
        """Wait for its end: the last line, once all epochs are there exactly once."""
        self.process.wait(timeout=400)
        self._reader.join(timeout=30)
        assert self.process.returncode == 0, self.said
        # Ray's own lines about nodes that it lost may come after it.
        (last,) = [line for _, line in self._lines if line.startswith("{")]
        result: dict[str, Any] = json.loads(last)
        position = json.loads((Path(result["last_checkpoint"]) / "position.json").read_text())
        history = position["history"]
        assert [metrics["epoch"] for metrics in history] == list(range(1, EPOCHS + 1))
        # Another number of workers shares the rows again, in the middle of an epoch too.
        assert all(abs(metrics["steps"] - STEPS) <= 1 for metrics in history)
        assert {metrics["validation_count"] for metrics in history} == {STEPS * _BATCH // 10}
        assert result["epochs"] == EPOCHS
        return result

    def kill_driver(self) -> None:
        """End the job's own process on the head, as lack of memory might."""
        for pid, command in self._nodes.commands("head").items():
            if b"jobs/train_sketch.py" in command and b"submit" not in command:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=60)

    def stop(self) -> None:
        """End it, if it runs."""
        self.process.kill()
        self.process.wait()


def steps(told: re.Match[str]) -> int:
    """Steps since the first epoch's beginning, of a line that tells epoch and step."""
    return (int(told[1]) - 1) * STEPS + int(told[2].replace(",", ""))


@dataclass(frozen=True)
class Fault:
    """What was there just before a fault."""

    name: str
    steps: int
    """Done since the first epoch's beginning."""
    checkpoints: dict[str, float]
    """When each was stored, in seconds since 1970."""
    at: float
    """By the monotonic clock."""
    time: float
    """In seconds since 1970."""


def note_fault(job: TrainingJob, name: str) -> Fault:
    """To be called just before a fault."""
    done = job.wait_for_progress()
    return Fault(name, done, job.checkpoints(), time.monotonic(), time.time())


def back_at_work(
    job: TrainingJob, fault: Fault, *, since: float | None = None
) -> tuple[float, float]:
    """Check, note and return what a fault cost: seconds of work done again, seconds to recover;
    `since` where the recovery could only begin then.
    """
    since = fault.at if since is None else since
    begun, resumed = job.wait_for(
        r"resumed in epoch (\d+) of \d+, after step (\d+)", since=fault.at, seconds=200
    )
    moment, _ = job.wait_for(
        r"epoch \d+/\d+  step", since=max(since, begun), seconds=RECOVERY_SECONDS
    )
    epoch, step = int(resumed[1]) - 1, int(resumed[2])
    checkpoint = f"epoch-{epoch:04d}" + (f"-step-{step:07d}" if step else "")
    # One that was being stored is newer than all that were there.
    lost = max(0.0, fault.time - fault.checkpoints.get(checkpoint, fault.time))
    again = max(0, fault.steps - steps(resumed))
    costs.note(fault.name, f"{lost:.0f} s of work lost", again, moment - since)
    assert lost < CHECKPOINT_SECONDS + STORE_SECONDS
    assert moment - since < RECOVERY_SECONDS
    return lost, moment - since
