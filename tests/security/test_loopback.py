"""A Ray that a job starts for itself is reached from this machine alone."""

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import REPOSITORY

# With the dashboard, and with a worker: all that a job ever starts.
JOB = """
import ray
from rnnray import cluster
cluster.connect(dashboard=True)
ray.get(ray.remote(lambda: None).remote())
print("ready", flush=True)
input()
"""
LISTENING = "0A"


def addresses(file: str) -> dict[str, tuple[str, int]]:
    """Of the sockets of /proc/net/tcp or tcp6 that listen: inode -> address and port."""
    found = {}
    for line in Path(file).read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] != LISTENING:
            continue
        host, port = fields[1].split(":")
        # Words of four bytes, each in this machine's order.
        words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
        packed = struct.pack(f"={len(words)}I", *words)
        family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
        found[fields[9]] = (socket.inet_ntop(family, packed), int(port, 16))
    return found


def family_of(root: int) -> dict[int, str]:
    """A process and all below it, with their names."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended
        parents[int(folder.name)], names[int(folder.name)] = int(rest.split()[1]), name
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: names[pid] for pid in found if pid in names}


def listening(root: int) -> set[tuple[str, str]]:
    """Where a process and all below it listen: (name of the process, address)."""
    sockets = addresses("/proc/net/tcp") | addresses("/proc/net/tcp6")
    found = set()
    for pid, name in family_of(root).items():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inode = str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]")
            except OSError:
                continue
            if inode in sockets:
                found.add((name, sockets[inode][0]))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_nothing_that_a_job_starts_listens_to_other_machines(own_ray: Path) -> None:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("RAY_")}
    with subprocess.Popen(
        [sys.executable, "-c", JOB],
        cwd=REPOSITORY,
        env=environment | {"RAY_TMPDIR": str(own_ray), "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        found = listening(process.pid)
        process.communicate("\n", timeout=60)
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    assert {address for _, address in found} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, found
