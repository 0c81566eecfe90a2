"""Runs whose number of workers follows the cluster's nodes, and what a run waits for."""

import os
from collections.abc import Callable, Mapping

import ray
from ray.train import ScalingConfig

from rnnray import cluster
from rnnray.events import Event
from rnnray.progress import say
from rnnray.training.run_options import RunOptions

# Ray Train would wait a minute for room on a node that has just died.
_START_SECONDS = 10
# A group that began before a lost node was known as lost may hold the CPU that must stay free
# (`ray_private.cpu_kept_free`): it is made smaller after this.
_RESIZE_SECONDS = 15.0


def scaling(options: RunOptions) -> ScalingConfig:
    """How many workers, and what each reserves.

    Raises:
        UserError: the cluster can never give the fewest.
    """
    least, most = options.worker_range()
    resources = cluster.worker_resources(least, options.wants_gpu(), options.cpus_per_worker)
    if least < most:
        # Ray Train divides sums of shares by shares: these leave no rest.
        resources["CPU"] = max(int(resources["CPU"] * 16), 1) / 16
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(_START_SECONDS))
    return ScalingConfig(
        num_workers=(least, most) if least < most else most,
        use_gpu="GPU" in resources,
        resources_per_worker=resources,
        elastic_resize_monitor_interval_s=_RESIZE_SECONDS,
    )


def with_waits(wanted: ScalingConfig, handle: Callable[[Event], None]) -> Callable[[Event], None]:
    """A handler of a run's events that also says what it waits for, and how many train."""

    def handle_too(event: Event) -> None:
        missing = _waits_for(wanted) if event["kind"] == "silence" else ""
        if missing:
            say(missing)
            return
        handle(event)
        if event["kind"] == "group" and wanted.elasticity_enabled:
            say(f"training on {event['workers']} worker(s)")

    return handle_too


def _waits_for(wanted: ScalingConfig) -> str:
    """What the cluster lacks now for the fewest workers of a run; empty when it lacks nothing."""
    least, each = wanted.min_workers, wanted.resources_per_worker or {}
    known = ray.nodes()
    nodes = [node["Resources"] for node in known if node["Alive"]]
    cpus, gpus = (sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
    there = f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs on {len(nodes)} node(s)"
    room = sum(_room(node, each) for node in nodes)
    if room < least:
        return f"waiting for {least - room} more worker(s) of {least}: {there}"
    if len(nodes) < len(known) and cpus < least * each.get("CPU", 0) + 1:
        # Rows that were on the lost node alone are computed again by tasks, of a CPU each.
        return f"waiting for a CPU to replace lost rows: {there}, and {least} worker(s) take theirs"
    return ""


def _room(node: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many workers fit on a node."""
    return min(int(node.get(name, 0) / amount + 1e-6) for name, amount in each.items())
