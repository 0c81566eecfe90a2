#!/usr/bin/env python3
"""Load for a cluster of several nodes on this machine: training, a sweep and batch generation at
the same time, one run of each after the other until the time is over.

Samples the memory of every process of the cluster, and checks what each run leaves. Prints a table,
and JSON as the last line; exits with 1 if a run failed or left less than it should.
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
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from local_cluster import LocalCluster
from placement import Namespaces, Refused

_REPOSITORY = Path(__file__).resolve().parents[2]
_SAMPLE_SECONDS = 5.0
_EPOCHS, _TRIALS, _CHORALES = 6, 4, 60
_SMALL = "--model.lstm-units 32 --optimizer.learning-rate 0.01"

Result = dict[str, Any]


@dataclass
class Process:
    """A process of the cluster, and the memory of its own that it held."""

    title: str
    seconds: list[float] = field(default_factory=list)  # since the soak began
    mib: list[float] = field(default_factory=list)

    def growth(self) -> float:
        """MiB between the middle of its life and its end."""
        return self.mib[-1] - self.mib[len(self.mib) // 2]


class Runs(threading.Thread):
    """Runs of one kind, one after the other, as jobs that are submitted to the cluster.

    Args:
        kind: of them.
        cluster: to run on.
        job: gives the command line of a run by its name.
        lost: what a run's result lacks; empty if it lacks nothing.
        until: when no other run starts, `time.monotonic`.
    """

    def __init__(
        self,
        kind: str,
        cluster: LocalCluster,
        job: Callable[[str], str],
        lost: Callable[[Result], str],
        until: float,
    ) -> None:
        super().__init__(name=kind)
        self._cluster, self._job, self._lost, self._until = cluster, job, lost, until
        self.ended, self.failures = 0, list[str]()

    def run(self) -> None:
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
    """Exit code and output of a job; `job` is its command line."""
    words = ["ray", "job", "submit", "--working-dir", str(_REPOSITORY), "--", *shlex.split(job)]
    command, environment = cluster.command(words)
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def last_result(output: str) -> Result:
    """The JSON object that a job printed last; {} where there is none."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {}


def watch(cluster: LocalCluster, over: threading.Event, seen: dict[int, Process]) -> None:
    """Sample the memory of the cluster's processes until it is over."""
    started = time.monotonic()
    while not over.wait(_SAMPLE_SECONDS):
        for node in cluster.nodes:
            for pid in cluster.placement.processes(node):
                try:
                    title, mib = _title(pid), _own_mib(pid)
                except OSError:  # it has ended
                    continue
                process = seen.setdefault(pid, Process(title))
                if "IDLE" not in title:
                    process.title = title
                process.seconds.append(time.monotonic() - started)
                process.mib.append(mib)


def _title(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if words[0].startswith("ray::"):
        return words[0]
    scripts = [Path(word).name for word in words if word.endswith(".py")]
    modules = [after for word, after in pairwise(words) if word == "-m"]
    return (scripts or modules or [Path(words[0]).name])[0]


def _own_mib(pid: int) -> float:
    """Memory without what is shared, as the object store is."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def table(seen: dict[int, Process]) -> list[Result]:
    """A row for each kind of process, largest first."""
    kinds = defaultdict(list)
    for process in seen.values():
        kinds[process.title].append(process)
    rows = [
        {
            "process": title,
            "count": len(processes),
            "longest_seconds": round(max(p.seconds[-1] - p.seconds[0] for p in processes)),
            "most_mib": round(max(max(p.mib) for p in processes)),
            "growth_mib": round(max(p.growth() for p in processes)),
        }
        for title, processes in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row["most_mib"])


def soak(cluster: LocalCluster, minutes: float, place: Path) -> Result:
    """Runs and memory of so many minutes; the runs' folders lie in `place`."""
    composer = f"jobs/train_chorale.py --data music21 --epochs 1 {_SMALL} --storage-path {place}"
    code, output = submit(cluster, f"{composer} --name composer")
    if code:
        raise Refused(f"no composer to generate with:\n{output}")
    checkpoint = last_result(output)["checkpoint"]
    until = time.monotonic() + minutes * 60

    kinds = [
        Runs(
            "train",
            cluster,
            lambda name: (
                f"jobs/train_sketch.py --data demo:20000 --epochs {_EPOCHS} --workers 2"
                f" --storage-path {place} --name {name}"
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
                f" --max-concurrent 1 --storage-path {place} --name {name}"
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
                f" --temperatures 0.8 1.2 --count {_CHORALES} --output {place} --name {name}"
            ),
            lambda result: (
                "" if result["complete"] and result["written"] == 2 * _CHORALES else str(result)
            ),
            until,
        ),
    ]
    seen: dict[int, Process] = {}
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(cluster, over, seen))
    watcher.start()
    for kind in kinds:
        kind.start()
    for kind in kinds:
        kind.join()
    over.set()
    watcher.join()
    rows = table(seen)
    print(f"{'process':44}{'count':>6}{'longest s':>11}{'most MiB':>10}{'grew, MiB':>11}")
    for row in rows:
        print(
            f"{row['process'][:43]:44}{row['count']:6}{row['longest_seconds']:11}"
            f"{row['most_mib']:10}{row['growth_mib']:11}"
        )
    return {
        "minutes": minutes,
        "runs": {kind.name: kind.ended for kind in kinds},
        "failures": [failure for kind in kinds for failure in kind.failures],
        "processes": rows,
    }


def _main() -> int:
    parser = argparse.ArgumentParser(prog="soak.py", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="default: %(default)g")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rnnray-soak-") as folder:
        cluster = LocalCluster(Path(folder) / "nodes")
        try:
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
