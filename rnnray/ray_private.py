"""Ray's private parts that this project uses, and what a Ray without them costs.

Each part has a function of its own, with its reason, the upstream issue, and the test that fails
when the part is no longer needed. A Ray that lacks a part does not fail the run; it costs only what
the function's message says.
"""

import functools
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray

from rnnray.progress import say

CHECKPOINT_LIST = "checkpoint_manager_snapshot.json"
"""File in a run's folder in which Ray Train lists the run's checkpoints.

Ray Train keeps either the best checkpoints and the last one, or all. We read the list to keep the
last two beside the best. We write it to resume from the checkpoint before a damaged one.
Needed: test_ray_train_cannot_keep_the_best_checkpoint_and_the_last_two.
"""
_CHECKPOINT_ENTRY_VERSION = 0  # Ray Train raises it with each change of an entry's fields

_ASK_SECONDS, _EXPIRE_SECONDS = 5.0, 60.0


def reads_checkpoint_list(values: Mapping[str, Any]) -> bool:
    """Return whether the content of a `CHECKPOINT_LIST` has the fields that this project knows."""
    entries = values["checkpoint_results"]
    if all(entry.get("version", 0) == _CHECKPOINT_ENTRY_VERSION for entry in entries):
        return True
    _say_lost("all checkpoints are kept, and a damaged one is not replaced by an earlier one")
    return False


@functools.cache
def _say_lost(what: str) -> None:
    """Say once in this process what this Ray does not offer."""
    say(f"Ray {ray.__version__} lacks a part that this project uses: {what}")


def address_left_here() -> str | None:
    """Return the address of the cluster that `ray start` left on this machine; None without one.

    `ray.init` joins such a cluster by itself. But it waits for minutes if the cluster was killed,
    and does not tell beforehand whether it is on 127.0.0.1. "auto" would join the private clusters
    of other jobs too.
    Ray: https://github.com/ray-project/ray/pull/26678
    Needed: test_ray_does_not_say_which_cluster_was_left_here.
    """
    try:
        from ray._private.utils import read_ray_address  # noqa: PLC0415

        address: str | None = read_ray_address()
    except (ImportError, AttributeError, TypeError):
        _say_lost("a cluster that `ray start` left here is not found; set RAY_ADDRESS")
        return None
    return address


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let a Ray that starts within the context be reachable from this machine alone.

    Where Ray can span machines, as on Linux, it replaces 127.0.0.1 by the machine's outer address
    and listens on all (`ray._private.services.resolve_ip_for_localhost`). The variable
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER works only before Ray is imported, and for the whole process.
    Ray: https://github.com/ray-project/ray/issues/26293 (closed as intended)
    Needed: test_ray_takes_loopback_for_the_outer_address.
    """
    try:
        from ray._private import ray_constants  # noqa: PLC0415

        spans_machines = ray_constants.ENABLE_RAY_CLUSTER
    except (ImportError, AttributeError):
        spans_machines = None
    if spans_machines is None:
        _say_lost("Ray may listen on the network; use a firewall or a container")
        yield
        return
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = spans_machines


def resources_to_come() -> Mapping[str, float]:
    """Return the resources of all nodes that the autoscaler may run; empty without an autoscaler.

    `ray.cluster_resources` knows only the present nodes. `ray status` makes the same call.
    Ray: https://github.com/ray-project/ray/issues/49501
    Needed: test_ray_does_not_say_what_the_autoscaler_may_add.
    """
    try:
        found = ray._private.state.state.get_max_resources_from_cluster_config()
    except (AttributeError, TypeError):
        _say_lost("nodes that the autoscaler may start are not counted")
        return {}
    return found or {}


def node_is_drained() -> bool:
    """Return whether Ray has told this training worker that its node will be removed.

    Takes a microsecond. The public `ray.train.get_preemption_info` waits for all workers, which no
    step may do.
    Ray: https://github.com/ray-project/ray/issues/63968
    Needed: test_ray_trains_public_notice_waits_for_all_workers.
    """
    context = _train_context()
    try:
        info = context.preemption_context.preemption_info
        return info is not None and context.get_world_rank() in info.preempted_ranks
    except AttributeError:  # `check_drains` has reported it
        return False


def check_drains() -> None:
    """Report in the driver's log if this Ray does not warn training workers of drained nodes."""
    try:
        from ray.train.v2._internal.execution.context import TrainContext  # noqa: PLC0415

        known = "preemption_context" in TrainContext.__dataclass_fields__
    except (ImportError, AttributeError):
        known = False
    if not known:
        _say_lost("a node that is drained is lost without a checkpoint; SIGTERM still writes one")


def failed_starts_leave_nothing() -> Sequence[Any]:
    """Return callbacks for Ray Train that release the CPUs of a group whose start has failed.

    When a worker dies in the last part of its group's start, Ray Train takes the group for one that
    has started, but its controller never gets it: nobody removes the placement group. On a cluster
    without room for a second group, the run would wait forever.
    Ray: not reported as far as we know; read and reproduced in 2.60 (`WorkerGroup._start`)
    Needed: test_ray_train_keeps_the_cpus_of_a_group_that_dies_while_it_starts.
    """
    try:
        from ray.train.v2._internal.execution.callback import ControllerCallback  # noqa: PLC0415
        from ray.train.v2._internal.execution.worker_group.worker_group import (  # noqa: PLC0415
            WorkerGroup,
        )

        start = WorkerGroup._start
    except (ImportError, AttributeError):
        _say_lost("after a worker has died while its group started, a run may wait forever")
        return ()

    def start_or_leave_nothing(group: Any) -> None:
        try:
            start(group)
        except Exception:
            if group.has_started():
                group._worker_group_state.shutdown()
            raise

    class LeavesNothing(ControllerCallback):  # type: ignore[misc]
        def after_controller_start(self, train_run_context: Any) -> None:
            del train_run_context
            WorkerGroup._start = start_or_leave_nothing  # in the controller's process alone

    return (LeavesNothing(),)


def _train_context() -> Any:
    try:
        from ray.train.v2._internal.execution.context import get_train_context  # noqa: PLC0415
    except ImportError:
        return None
    return get_train_context()


@contextmanager
def cpu_kept_free() -> Iterator[None]:
    """Keep one CPU of the cluster free of Ray Train's elastic workers within the context.

    When a node is lost, Ray recomputes its rows on a free CPU. Elastic workers would take the last
    free CPU, and then wait for these rows forever. The actor that is asked here divides the cluster
    between Ray Train and Ray Data.
    Ray: https://github.com/ray-project/ray/pull/66001
    Needed: test_ray_train_has_no_option_that_keeps_a_cpu_free.
    """
    request = {
        "requester_id": f"tasks-{uuid.uuid4().hex}",
        "resources": [{"CPU": 1}],
        "expire_after_s": _EXPIRE_SECONDS,
    }
    coordinator = _coordinator(request)
    if coordinator is None:
        _say_lost("elastic workers may take every CPU; keep one free beside them")
        yield
        return
    over = threading.Event()

    def ask_again() -> None:
        while not over.wait(_ASK_SECONDS):
            coordinator.request_resources.remote(**request)
            with suppress(TypeError):  # a Ray before 2.60 only looks at the nodes every 20 s
                coordinator.get_reserved_resources.remote(request["requester_id"], recompute=True)

    thread = threading.Thread(target=ask_again, daemon=True, name="CPU kept free")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        coordinator.cancel_request.remote(request["requester_id"])


def _coordinator(request: dict[str, Any]) -> Any:
    """Return the actor that divides the cluster, after a first request; None if Ray has none."""
    try:
        from ray.data._internal.cluster_autoscaler import (  # noqa: PLC0415
            default_autoscaling_coordinator as coordinators,
        )

        request["priority"] = coordinators.ResourceRequestPriority.HIGH
        coordinator = coordinators.get_or_create_autoscaling_coordinator()
        coordinator.request_resources.remote(**request)
    except (ImportError, AttributeError, TypeError):
        return None
    return coordinator


def keep_given_addresses() -> None:
    """Let `ray start` in this process keep 127.0.0.1, for the head and for other nodes.

    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 keeps it too, but forbids all nodes except the head. This
    part has no substitute: no node at all is better than one that the network reaches.
    Ray: https://github.com/ray-project/ray/issues/59110
    Needed: test_ray_takes_loopback_for_the_outer_address.
    """
    from ray._private import ray_constants, services  # noqa: PLC0415

    ray_constants.ENABLE_RAY_CLUSTER = True
    services.resolve_ip_for_localhost = lambda host: host
