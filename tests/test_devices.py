"""What a process may use: GPUs that Ray reserved for it, CPUs that its container allows."""

import os
from pathlib import Path

import pytest

from rnnray import devices


def container(monkeypatch: pytest.MonkeyPatch, folder: Path, files: dict[str, str]) -> None:
    """A process with 64 CPUs in some control groups."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    monkeypatch.setattr(devices, "_CGROUPS", folder)
    monkeypatch.setattr(devices, "_OWN_CGROUP", folder / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 64),
        ({"own": "0::/", "cpu.max": "200000 100000"}, 2),  # docker run --cpus 2
        ({"own": "0::/", "cpu.max": "max 100000"}, 64),
        ({"own": "0::/", "cpu.max": "50000 100000"}, 1),
        ({"own": "0::/", "cpu.max": "1050000 100000"}, 11),
        # Slurm, systemd: the limit is that of a group above.
        ({"own": "0::/job/step", "job/cpu.max": "300000 100000", "job/step/cpu.max": "max 1"}, 3),
        # In a container of the first version: of the host's path, only the root is mounted.
        (
            {
                "own": "5:cpuset:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/",
                "cpu,cpuacct/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        ({"own": "4:cpu:/", "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1"}, 64),
    ],
)
def test_a_container_bounds_tasks_and_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cpus: int
) -> None:
    container(monkeypatch, tmp_path, files)
    assert devices.available_cpus() == cpus


def test_affinity_bounds_them_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    container(monkeypatch, tmp_path, {"own": "0::/", "cpu.max": "800000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 9})
    assert devices.available_cpus() == 3
