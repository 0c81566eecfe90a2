#!/usr/bin/env python3
"""Put a cluster of several nodes on this machine under load, until the time is over.

Training, sweeps and batch generation run at the same time, each kind one run after the other. The
soak samples the memory of every process of the cluster, and checks what each run leaves. It prints
its progress every half minute, a table at the end, and JSON as the last line.

The exit code is 1 if
- a run failed, left less than it should or did not end within 20 minutes,
- no run of a kind ended, or
- the memory of a process grew. This counts for processes that lived for more than 60 % of the soak:
  their own memory (RssAnon) at the end may exceed that in the middle of their life by at most
  100 MiB or 20 %, whichever is more.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from local_cluster import LocalCluster
from placement import Namespaces, Refused, start_time

_REPOSITORY = Path(__file__).resolve().parents[2]
_SAMPLE_SECONDS, _PROGRESS_SECONDS = 5.0, 30.0
_RUN_SECONDS = 1200.0
# The limits of the rule above.
_MOST_OF_THE_SOAK, _GROWTH_MIB, _GROWTH_SHARE = 0.6, 100.0, 0.2
_EPOCHS, _TRIALS, _CHORALES = 6, 4, 60
_SMALL = "--model.lstm-units 32 --optimizer.learning-rate 0.01"

Result = dict[str, Any]


@dataclass
class Process:
    """A process of the cluster, and the memory of its own that it held."""

    title: str
    seconds: list[float] = field(default_factory=list)  # since the soak began
    mib: list[float] = field(default_factory=list)

    def lived(self) -> float:
        """Seconds between its first and its last sample."""
        return self.seconds[-1] - self.seconds[0]

    def half_time_mib(self) -> float:
        """Its memory in the middle of its life."""
        middle = (self.seconds[0] + self.seconds[-1]) / 2
        return next(m for s, m in zip(self.seconds, self.mib, strict=True) if s >= middle)

    def growth(self) -> float:
        """MiB between the middle of its life and its end."""
        return self.mib[-1] - self.half_time_mib()


class Watched(threading.Thread, ABC):
    """A thread whose exception is a failure of the soak, not only a traceback in the output."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.failures = list[str]()

    def run(self) -> None:
        """Do the `work`; note its exception as a failure."""
        try:
            self.work()
        except Exception as error:
            traceback.print_exc()
            self.failures.append(f"{self.name}: {type(error).__name__}: {error}")

    @abstractmethod
    def work(self) -> None:
        """Work of the thread."""


class Runs(Watched):
    """Runs of one kind, one after the other, as jobs that are submitted to the cluster.

    Args:
        kind: name of the kind.
        cluster: to run on.
        job: returns the command line of a run, given its name.
        lost: returns what a run's result lacks; empty if it lacks nothing.
        until: time, `time.monotonic`, after which no other run starts.
    """

    def __init__(
        self,
        kind: str,
        cluster: LocalCluster,
        job: Callable[[str], str],
        lost: Callable[[Result], str],
        until: float,
    ) -> None:
        super().__init__(kind)
        self._cluster, self._job, self._lost, self._until = cluster, job, lost, until
        self.ended = 0

    def work(self) -> None:
        """See `Runs`."""
        while time.monotonic() < self._until:
            name = f"{self.name}-{self.ended}"
            started = time.monotonic()
            code, output = submit(self._cluster, self._job(name))
            lost = f"exit code {code}" if code else self._lost(last_result(output))
            seconds = time.monotonic() - started
            print(f"{name}: {lost or 'whole'}, {seconds:.0f} s", flush=True)
            if lost:
                self.failures.append(f"{name}: {lost}")
                print("\n".join(output.splitlines()[-20:]), flush=True)
            self.ended += 1


def submit(cluster: LocalCluster, job: str) -> tuple[int, str]:
    """Exit code and output of a job; `job` is its command line.

    Raises:
        Refused: it did not end within 20 minutes, or the head does not run.
    """
    words = ["ray", "job", "submit", "--working-dir", str(_REPOSITORY), "--", *shlex.split(job)]
    command, environment = cluster.command(words)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"no end after {_RUN_SECONDS / 60:.0f} minutes: {job}") from error
    return done.returncode, done.stdout


def last_result(output: str) -> Result:
    """The JSON object that a job printed last; {} if there is none."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {}


class Watch(Watched):
    """Samples the memory of the cluster's processes until it is stopped, and prints the progress.

    Args:
        cluster: whose processes.
        kinds: the runs, whose numbers of ended runs it prints; more may be added.
    """

    def __init__(self, cluster: LocalCluster, kinds: Collection[Runs]) -> None:
        super().__init__("watch")
        self._cluster, self._kinds, self._over = cluster, kinds, threading.Event()
        # By process id and start, since other processes get the ids in the course of a soak.
        self.seen: dict[tuple[int, str], Process] = {}
        self.seconds = 0.0

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._over.set()
        self.join()

    def work(self) -> None:
        """See `Watch`."""
        started = told = time.monotonic()
        while not self._over.wait(_SAMPLE_SECONDS):
            self.seconds = time.monotonic() - started
            sampled = [
                mib
                for node in self._cluster.nodes
                for pid in self._cluster.placement.processes(node)
                if (mib := self._sample(pid)) is not None
            ]
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                ended = ", ".join(f"{kind.ended} {kind.name}" for kind in self._kinds)
                print(
                    f"minute {self.seconds / 60:.1f}: {len(sampled)} processes, "
                    f"{sum(sampled):,.0f} MiB; ended: {ended or 'none'}",
                    flush=True,
                )

    def _sample(self, pid: int) -> float | None:
        """Note and return the memory of a process, MiB; None if it has ended."""
        try:
            title, mib = _title(pid), _own_mib(pid)
        except OSError:
            return None
        process = self.seen.setdefault((pid, start_time(pid)), Process(title))
        if "IDLE" not in title:
            process.title = title
        process.seconds.append(self.seconds)
        process.mib.append(mib)
        return mib


def _title(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if words[0].startswith("ray::"):
        return words[0]
    scripts = [Path(word).name for word in words if word.endswith(".py")]
    modules = [after for word, after in pairwise(words) if word == "-m"]
    return (scripts or modules or [Path(words[0]).name])[0]


def _own_mib(pid: int) -> float:
    """Memory, MiB, without shared memory such as the object store."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def table(seen: Iterable[Process]) -> list[Result]:
    """A row for each kind of process, largest first."""
    kinds = defaultdict(list)
    for process in seen:
        kinds[process.title].append(process)
    rows = [
        {
            "process": title,
            "count": len(processes),
            "longest_seconds": round(max(p.lived() for p in processes)),
            "most_mib": round(max(max(p.mib) for p in processes)),
            "growth_mib": round(max(p.growth() for p in processes)),
        }
        for title, processes in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row["most_mib"])


def grown(seen: Iterable[Process], seconds: float) -> list[str]:
    """A line for each process whose memory grew, by the rule above, in `seconds` of soak."""
    return [
        f"memory: {process.title} grew from {process.half_time_mib():.0f} to "
        f"{process.mib[-1]:.0f} MiB in the second half of its {process.lived() / 60:.1f} minutes"
        for process in seen
        if process.lived() > _MOST_OF_THE_SOAK * seconds
        and process.growth() > max(_GROWTH_MIB, _GROWTH_SHARE * process.half_time_mib())
    ]


def failures(kinds: Iterable[Runs], watch: Watch) -> list[str]:
    """All failures, a line each, after all threads have ended."""
    found = [failure for thread in (*kinds, watch) for failure in thread.failures]
    found += [f"{kind.name}: no run ended" for kind in kinds if not kind.ended]
    if not watch.seen:
        found.append("watch: no process was seen")
    return found + grown(watch.seen.values(), watch.seconds)


def soak(cluster: LocalCluster, minutes: float, folder: Path) -> Result:
    """Run the soak; return its runs and their memory.

    Args:
        cluster: the cluster, which is up.
        minutes: length of the soak.
        folder: folder of all runs.

    Raises:
        Refused: no composer could be trained.
    """
    kinds: list[Runs] = []
    watch = Watch(cluster, kinds)
    watch.start()
    composer = f"jobs/train_chorale.py --data music21 --epochs 1 {_SMALL} --storage-path {folder}"
    code, output = submit(cluster, f"{composer} --name composer")
    if code:
        raise Refused(f"no composer could be trained:\n{output}")
    checkpoint = last_result(output)["checkpoint"]
    until = time.monotonic() + minutes * 60

    kinds += [
        Runs(
            "train",
            cluster,
            lambda name: (
                f"jobs/train_sketch.py --data demo:20000 --epochs {_EPOCHS} --workers 2"
                f" --storage-path {folder} --name {name}"
            ),
            lambda result: (
                ""
                if result["last_checkpoint"].endswith(f"epoch-{_EPOCHS:04d}")
                else f"epochs: {result}"
            ),
            until,
        ),
        Runs(
            "sweep",
            cluster,
            lambda name: (
                f"jobs/tune_chorale.py --data music21 --samples {_TRIALS} --epochs 1"
                f" --max-concurrent 1 --storage-path {folder} --name {name}"
            ),
            lambda result: (
                "" if (result["trials"], result["failed"]) == (_TRIALS, 0) else f"trials: {result}"
            ),
            until,
        ),
        Runs(
            "generate",
            cluster,
            lambda name: (
                f"jobs/generate_chorales.py --checkpoint {checkpoint} --data music21"
                f" --temperatures 0.8 1.2 --count {_CHORALES} --output {folder} --name {name}"
            ),
            lambda result: (
                "" if result["complete"] and result["written"] == 2 * _CHORALES else str(result)
            ),
            until,
        ),
    ]
    for kind in kinds:
        kind.start()
    for kind in kinds:
        kind.join()
    watch.stop()
    rows = table(watch.seen.values())
    print(f"{'process':44}{'count':>6}{'longest s':>11}{'most MiB':>10}{'grew, MiB':>11}")
    for row in rows:
        print(
            f"{row['process'][:43]:44}{row['count']:6}{row['longest_seconds']:11}"
            f"{row['most_mib']:10}{row['growth_mib']:11}"
        )
    found = failures(kinds, watch)
    for failure in found:
        print(f"FAILED: {failure}")
    return {
        "minutes": minutes,
        "runs": {kind.name: kind.ended for kind in kinds},
        "failures": found,
        "processes": rows,
    }


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="soak.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=15.0, help="duration in minutes (default: %(default)g)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rnnray-soak-") as folder:
        cluster = LocalCluster(Path(folder) / "nodes")
        try:
            print("starting three nodes", flush=True)
            cluster.up(2, cpus=3, head_cpus=2, namespaces=Namespaces.allowed())
            result = soak(cluster, options.minutes, Path(folder))
        except Refused as error:
            sys.exit(f"soak.py: {error}")
        finally:
            cluster.down()
    print(json.dumps(result))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(_main())
