"""Runs whose number of workers follows the cluster's nodes, and what a run waits for."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import ray
from ray.train import ScalingConfig

from rnnray import cluster
from rnnray.events import Event
from rnnray.progress import say
from rnnray.training.options import RunOptions

# Ray Train would wait a minute for room on a node that has just died.
_START_SECONDS = 10
# A group that began before a lost node was known as lost may hold the CPU that reads: it is made
# smaller after this.
_RESIZE_SECONDS = 15.0
# What lies between two looks at the cluster's nodes; Ray alone looks every 20 s.
_ASK_SECONDS, _EXPIRE_SECONDS = 5.0, 60.0


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


@contextmanager
def room_to_read(wanted: ScalingConfig) -> Iterator[None]:
    """Keep a CPU of the cluster free of an elastic run's workers.

    They would take the last one when a node is lost, and then wait for their data forever.
    """
    if not wanted.elasticity_enabled:
        yield
        return
    # It asks the autoscaler for what Ray Train and Ray Data need, and shares out what is there.
    from ray.data._internal.cluster_autoscaler import (  # noqa: PLC0415
        default_autoscaling_coordinator as coordinators,
    )

    coordinator = coordinators.get_or_create_autoscaling_coordinator()
    over, name = threading.Event(), f"reading-{uuid.uuid4().hex}"

    def ask() -> None:
        coordinator.request_resources.remote(
            requester_id=name,
            resources=[{"CPU": 1}],
            expire_after_s=_EXPIRE_SECONDS,
            priority=coordinators.ResourceRequestPriority.HIGH,
        )
        coordinator.get_reserved_resources.remote(name, recompute=True)

    def ask_again() -> None:
        while not over.wait(_ASK_SECONDS):
            ask()

    ask()
    thread = threading.Thread(target=ask_again, daemon=True, name="room to read")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        coordinator.cancel_request.remote(name)


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
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
    there = f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs on {len(nodes)} node(s)"
    room = sum(_room(node, each) for node in nodes)
    if room < least:
        return f"waiting for {least - room} more worker(s) of {least}: {there}"
    if cpus < least * each.get("CPU", 0) + 1:
        return f"waiting for a CPU to read data: {there}, and {least} worker(s) take theirs"
    return ""


def _room(node: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many workers fit on a node."""
    return min(int(node.get(name, 0) / amount + 1e-6) for name, amount in each.items())
