"""Nodes that come and go; SIGTERM to a worker or the driver, and drains: a checkpoint comes first.

Clouds take spot machines back, and Kubernetes its pods, with a notice of 30 seconds and more.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any, Self

import ray
from ray.train import ScalingConfig

from rnnray import cluster, ray_private
from rnnray.errors import Terminated
from rnnray.events import Event
from rnnray.progress import say
from rnnray.training.training_options import RunOptions

# Seconds to wait for room: Ray Train would wait a minute for a node that has just died.
_START_SECONDS = 10
# A group that began before a lost node was known as lost may hold the CPU that must stay free
# (`ray_private.cpu_kept_free`): it is made smaller after this.
_RESIZE_SECONDS = 15.0


def scaling(options: RunOptions) -> ScalingConfig:
    """Return the number of workers and what each reserves.

    Raises:
        UserError: the cluster never has room for the fewest workers.
    """
    least, most = options.worker_range()
    resources = cluster.worker_resources(least, options.wants_gpu(), options.cpus_per_worker)
    if least < most:
        # Ray Train divides sums of shares by shares: 16ths leave no rest.
        resources["CPU"] = max(int(resources["CPU"] * 16), 1) / 16
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(_START_SECONDS))
    return ScalingConfig(
        num_workers=(least, most) if least < most else most,
        use_gpu="GPU" in resources,
        resources_per_worker=resources,
        elastic_resize_monitor_interval_s=_RESIZE_SECONDS,
    )


def with_waits(wanted: ScalingConfig, handle: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a handler of a run's events that also says what it waits for, and how many train."""

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
    """Return what the cluster lacks for a run's fewest workers; empty when it lacks nothing."""
    least, each = wanted.min_workers, wanted.resources_per_worker or {}
    known = ray.nodes()
    nodes = [node["Resources"] for node in known if node["Alive"]]
    cpus, gpus = (sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
    there = f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs on {len(nodes)} node(s)"
    room = sum(_room(node, each) for node in nodes)
    if room < least:
        return f"waiting for {least - room} more worker(s) of {least}: {there}"
    if len(nodes) < len(known) and cpus < least * each.get("CPU", 0) + 1:
        # Tasks of one CPU each compute again the rows that only the lost node had.
        return f"waiting for a CPU to compute lost rows: {there}, and {least} worker(s) need theirs"
    return ""


def _room(node: Mapping[str, float], each: Mapping[str, float]) -> int:
    """Return the number of workers that fit on a node."""
    return min(int(node.get(name, 0) / amount + 1e-6) for name, amount in each.items())


_sigterm = threading.Event()


def expect_notice() -> Any:
    """Take SIGTERM as a notice from now on; return this worker's handle, for `PassedOn`.

    To be called in the training function of a worker.
    """
    # Ray Train runs that function in a thread, and only the main thread, which serves the actor's
    # calls, can install handlers.
    actor = ray.get_runtime_context().current_actor
    ray.get(actor.__ray_call__.remote(_install))
    return actor


class PassedOn:
    """Passes SIGTERM from a run's driver to its workers as their notice: they save a checkpoint.

    A context around the run, in the main thread; elsewhere, as in a trial, it does nothing.
    """

    def __init__(self) -> None:
        self.came = False
        """True once the driver got SIGTERM."""
        self._worker: Any = None
        self._before: Any = None

    def __enter__(self) -> Self:
        ray_private.check_drains()
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if self.came:
            raise Terminated from error

    def note(self, event: Event) -> None:
        """Take an event of the run: it says which worker of a group to tell."""
        if event["kind"] == "expects_notice":
            self._worker = event["worker"]
            if self.came:  # SIGTERM, while the group was started
                self._tell()
        elif event["kind"] == "again":
            self._worker = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, self._before or signal.SIG_DFL)  # a second one ends the driver
        self.came = True
        if self._worker is None:
            raise Terminated  # nobody trains, and all that was stored is whole
        self._tell()

    def _tell(self) -> None:
        self._worker.__ray_call__.remote(_give)


def told_to_leave() -> bool:
    """Return whether this worker was told to leave; costs a microsecond."""
    return _sigterm.is_set() or ray_private.node_is_drained()


def _give(_: object) -> None:
    _sigterm.set()


def _install(_: object) -> None:
    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process
        _sigterm.set()

    signal.signal(signal.SIGTERM, note)
