"""The Ray cluster that a job runs on: found or started, and its resources."""

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rnnray import devices, ray_private
from rnnray.errors import UserError
from rnnray.quiet import muted_stderr

_ANSWER_SECONDS = 10.0


def connect(*, verbose: bool = False, dashboard: bool = False) -> None:
    """Connect to the cluster of this job or machine, or start one on this machine.

    The first of these that exists is used:

    - the cluster of RAY_ADDRESS (set in a submitted job);
    - a cluster that `ray start` left running on this machine;
    - a new cluster on 127.0.0.1 that ends with this process.

    RAY_ADDRESS=local always starts a new one.

    Args:
        verbose: show the logs of Ray's workers.
        dashboard: start a new cluster with its dashboard, on 127.0.0.1; Ray asks it about actors.

    Raises:
        UserError: the cluster of RAY_ADDRESS or `ray start` does not answer, or refuses us.
    """
    if ray.is_initialized():
        return
    level = logging.INFO if verbose else logging.CRITICAL
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(level)
    if not verbose:
        # Ray's C++ core prints to the driver's stderr, about Ray and not about the job.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")
        warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.")
    # Ray announces a change of this default at every start; nothing here depends on it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options = {"log_to_driver": verbose, "logging_level": level}
    new = {
        # One CPU for training and one for reading, even on the smallest machine.
        "num_cpus": max(2, devices.available_cpus()),
        "include_dashboard": dashboard,
        "address": "local",
    }
    address = os.environ.get("RAY_ADDRESS")
    left = "" if address == "local" else address or ray_private.address_left_here()
    nobody = UserError(
        f"cannot connect to a Ray cluster at {f'RAY_ADDRESS={address}' if address else left}; "
        "start it, "
        "set RAY_AUTH_MODE=token if it requires a token, or run on this machine alone: "
        + (
            "unset RAY_ADDRESS"
            if address
            else "`ray stop` removes the address that `ray start` left"
        )
    )
    if left and not _answers(left):
        raise nobody
    with _own_sigterm(), nullcontext() if verbose else muted_stderr():
        try:
            with ray_private.on_loopback() if not left or _is_on_loopback(left) else nullcontext():
                # Not address="auto", which would also join another job's private cluster, and end
                # with it.
                ray.init(**options, **({} if left else new))
        except ConnectionError as error:
            raise nobody from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = verbose
    context.print_on_execution_start = verbose
    # Otherwise an actor's UserError arrives inside Ray's own exception, as text alone.
    context.raise_original_map_exception = True


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Restore this process's SIGTERM handler after `ray.init`, which installs its own.

    Ray's handler exits in the middle of a call into Ray, which then aborts the process.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _answers(address: str) -> bool:
    """Return whether anything listens there; Ray itself waits minutes for a dead head."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return True  # a word such as auto, which only Ray can resolve
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


def _is_on_loopback(address: str) -> bool:
    """Return whether only this machine reaches a cluster.

    Ray knows a cluster that other machines reach by the machine's outer address.
    """
    host, _, port = address.rpartition(":")
    outer = ray.util.get_node_ip_address()
    return host in ("127.0.0.1", "localhost") and not _answers(f"{outer}:{port}")


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Return the scheduling of actors that must live as long as the driver.

    Ray starts actors without CPUs on any node, and they would die with that node.
    """
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def most(resource: str) -> float:
    """Return the most of a resource that the cluster can ever have, with all nodes it may start."""
    now: float = ray.cluster_resources().get(resource, 0)
    return max(now, float(ray_private.resources_to_come().get(resource) or 0))


def has_gpus() -> bool:
    """Return whether the cluster has a GPU, or can start a node with one."""
    return most("GPU") > 0


def worker_resources(workers: int, gpu: bool | None, cpus: float | None) -> dict[str, float]:
    """Return the resources that each training worker reserves, as Ray names them.

    Args:
        workers: number of workers.
        gpu: whether each gets a GPU; None: if the cluster has any.
        cpus: CPUs of each; None: one, or the share of it that leaves one CPU of the cluster for
            tasks.

    Raises:
        UserError: the cluster can never provide that; the message names what it has.
    """
    all_cpus, all_gpus = most("CPU"), most("GPU")
    there = f"this cluster has at most {all_cpus:g} CPUs and {all_gpus:g} GPUs"
    if gpu is None:
        gpu = all_gpus > 0
    if gpu and workers > all_gpus:
        raise UserError(
            f"{workers} workers with a GPU each cannot start: {there}; "
            "use fewer --workers, or --no-gpu"
        )
    if workers * (cpus or 0) > all_cpus or (not gpu and workers > all_cpus):
        needed = f"{cpus:g} CPUs" if cpus else "a CPU"
        raise UserError(
            f"{workers} workers with {needed} each cannot start: {there}; use fewer --workers"
            + (" or --cpus-per-worker" if cpus else "")
        )
    if cpus is None:
        # Tasks read data, and recompute what was lost with a node. Without a CPU that no worker has
        # reserved, training would wait for them forever.
        cpus = min(1.0, max(all_cpus - 1, 0.5) / workers)
    return {"CPU": cpus, "GPU": 1.0} if gpu else {"CPU": cpus}


def room_for(cpus: float, gpus: float) -> int:
    """Return how many reservations, each within one node, the cluster has room for.

    Args:
        cpus: CPUs of a reservation.
        gpus: GPUs of a reservation.
    """

    def room(there: Mapping[str, float]) -> int:
        by_cpu = int(there.get("CPU", 0) / cpus + 1e-6)
        return min(by_cpu, int(there.get("GPU", 0) / gpus + 1e-6)) if gpus else by_cpu

    nodes = sum(room(node["Resources"]) for node in ray.nodes() if node["Alive"])
    # Ray gives the autoscaler's limit as a sum, not by node.
    return max(nodes, room(ray_private.resources_to_come()))


def check_fits(cpus: float, gpus: float) -> None:
    """Raise `UserError` unless one node, or the autoscaler's limit, has `cpus` and `gpus`."""
    if not room_for(cpus, gpus):
        raise UserError(
            f"no node of this cluster has {cpus:g} CPUs and {gpus:g} GPUs for a trial; ask for "
            "less with --cpus-per-trial and --gpus-per-trial"
        )
