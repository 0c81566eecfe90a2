"""CPUs and GPUs that this process may use: what Ray reserved for it, what its container allows."""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def available_cpus() -> int:
    """Number of CPUs that this process may use: by its affinity and the quotas of its control
    groups (`docker run --cpus`, a pod's limit, Slurm), of which a fraction counts as one.
    """
    affinity = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min([affinity, *_quotas()])))


def node_cpus() -> int:
    """Number of CPUs that Ray's tasks on this node may use together: `available_cpus`, or fewer
    where the node was started with fewer (`ray start --num-cpus`).
    """
    import ray  # noqa: PLC0415  (seconds: not for processes without Ray)

    own = ray.get_runtime_context().get_node_id()
    given = next(n["Resources"].get("CPU", 0) for n in ray.nodes() if n["NodeID"] == own)
    # A head without CPUs is one without tasks; its driver may still compute.
    return min(available_cpus(), int(given) or available_cpus())


def reserved_gpus() -> list[str] | None:
    """The GPUs that Ray reserved for this process, by CUDA's ids; None in a process without Ray,
    which may use all of them.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return sorted(map(str, ray.get_runtime_context().get_accelerator_ids().get("GPU", ())))


def see_reserved_gpus() -> None:
    """Hide from CUDA all GPUs but the first of those that Ray reserved for this worker process.

    Ray hides none from a process that reserves none; a model is trained by one GPU a process.
    Counts until CUDA first looks for devices, which TensorFlow does with its first operation.
    Not for drivers: what they set would hide the GPUs from a cluster that they start later.
    """
    gpus = reserved_gpus()
    if gpus is not None and not _is_driver():
        os.environ[_VISIBLE] = ",".join(gpus[:1])


def _is_driver() -> bool:
    """Whether this process is the driver of its Ray cluster, and not one of the workers."""
    import ray  # noqa: PLC0415  (as above)

    try:
        ray.get_runtime_context().get_assigned_resources()
    except AssertionError:  # how Ray refuses it outside of workers
        return True
    return False


def _quotas() -> Iterator[float]:
    """CPUs that each control group above this process allows, where it sets a limit."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:  # not on Linux
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers  # the second version has one tree, and no names
        # In a container, the path may be that of the host, of which only the root is mounted.
        for folder in {root, *(root / path.lstrip("/")).parents, root / path.lstrip("/")}:
            if folder.is_relative_to(root):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """The quota of one control group: `cpu.max` of the second version, two files of the first."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
    except (OSError, ValueError):  # no limit here
        return
    if quota.isdecimal() and int(period):  # else "max", or -1
        yield int(quota) / int(period)
