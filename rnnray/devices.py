"""CPUs and GPUs that this process may use, by Ray's reservation and the container's limits."""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def available_cpus() -> int:
    """Return the number of CPUs that this process may use, at least 1.

    The limits are its affinity and the quotas of its control groups (`docker run --cpus`, a pod's
    limit, Slurm). A fraction of a CPU counts as one.
    """
    affinity = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min([affinity, *_quotas()])))


def node_cpus() -> int:
    """Return the number of CPUs that all of Ray's tasks on this node may use together.

    That is `available_cpus`, or fewer if the node was started with fewer (`ray start --num-cpus`).
    """
    import ray  # noqa: PLC0415  (takes seconds, which processes without Ray need not spend)

    own = ray.get_runtime_context().get_node_id()
    given = next(n["Resources"].get("CPU", 0) for n in ray.nodes() if n["NodeID"] == own)
    # A head with 0 CPUs runs no tasks; its driver may still compute.
    return min(available_cpus(), int(given) or available_cpus())


def reserved_gpus() -> list[str] | None:
    """Return CUDA's ids of the GPUs that Ray reserved for this process.

    None in a process without Ray, which may use all of them.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return sorted(map(str, ray.get_runtime_context().get_accelerator_ids().get("GPU", ())))


def see_reserved_gpus() -> None:
    """Hide from CUDA all GPUs except the first one that Ray reserved for this worker process.

    Ray hides none from a process that reserves none. A model is trained on one GPU a process. Works
    only before CUDA first looks for devices, which TensorFlow does with its first operation. Not
    for drivers: a cluster that they start later would inherit the setting and see no GPUs.
    """
    gpus = reserved_gpus()
    if gpus is not None and not _is_driver():
        os.environ[_VISIBLE] = ",".join(gpus[:1])


def hide_gpus() -> None:
    """Hide all GPUs from CUDA in this process, before it first looks for devices."""
    os.environ[_VISIBLE] = "-1"


def _is_driver() -> bool:
    """Return whether this process is the driver of its Ray cluster, not one of the workers."""
    import ray  # noqa: PLC0415  (as above)

    try:
        ray.get_runtime_context().get_assigned_resources()
    except AssertionError:  # Ray's refusal outside of workers
        return True
    return False


def _quotas() -> Iterator[float]:
    """Yield the CPUs that each control group above this process allows, if it has a limit."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:  # not on Linux
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers  # cgroup v2 has one tree, without names
        # In a container the path may be the host's, of which only the root is mounted.
        for folder in {root, *(root / path.lstrip("/")).parents, root / path.lstrip("/")}:
            if folder.is_relative_to(root):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota of a control group: `cpu.max` of cgroup v2, or the two files of v1."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
    except (OSError, ValueError):  # no limit here
        return
    if quota.isdecimal() and int(period):  # otherwise "max", or -1
        yield int(quota) / int(period)
