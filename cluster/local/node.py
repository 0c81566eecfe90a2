"""A node of the cluster: what it was started with, and whether it runs."""

import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from placement import HEAD, Refused, start_time

_REPOSITORY = Path(__file__).resolve().parents[2]
_LOOPBACK_RAY = Path(__file__).with_name("loopback_ray.py")
_OBJECT_STORE_BYTES = 300_000_000


@dataclass
class Node:
    """A node as it was started."""

    index: int
    cpus: int
    address: str
    pid: int = 0
    """Process id of its `ray start`; 0 before the start."""
    started: str = ""
    """Start of that process by the kernel's clock, since another process may get its id."""

    def runs(self) -> bool:
        """Return whether its `ray start` still runs."""
        return bool(self.pid) and self.started == start_time(self.pid)


def start_command(
    name: str, node: Node, gcs: str, dashboard_port: int, *, shared: bool
) -> list[str]:
    """Return the `ray start` of a node.

    Args:
        name: name of the node.
        node: the node.
        gcs: address of the head's GCS, with its port.
        dashboard_port: port of the head's dashboard.
        shared: whether other nodes have its address, 127.0.0.1, and Ray's usual ports.

    Raises:
        Refused: there is no `ray` here.
    """
    ray = [_python(), str(_LOOPBACK_RAY)] if shared else [ray_command()]
    command = [*ray, "start", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address", node.address, "--node-name", name]
    command += ["--num-cpus", str(node.cpus), "--object-store-memory", str(_OBJECT_STORE_BYTES)]
    if name == HEAD:
        command += ["--head", "--port", gcs.rpartition(":")[2], "--include-dashboard", "true"]
        command += ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard_port)]
    else:
        command += ["--address", gcs]
    if shared:
        agent, grpc, metrics, client = free_ports(4)
        command += ["--dashboard-agent-listen-port", str(agent)]
        command += ["--dashboard-agent-grpc-port", str(grpc)]
        command += ["--metrics-export-port", str(metrics)]
        command += ["--ray-client-server-port", str(client)] if name == HEAD else []
    return command


def ray_command() -> str:
    """The `ray` of this Python, else of the repository's environment, else of the PATH.

    Raises:
        Refused: there is none.
    """
    for folder in (Path(sys.executable).parent, _REPOSITORY / ".venv/bin"):
        if (folder / "ray").exists():
            return str(folder / "ray")
    found = shutil.which("ray")
    if found is None:
        raise Refused("there is no `ray` here; run `make setup` first")
    return found


def _python() -> str:
    """The Python of `ray_command`."""
    python = Path(ray_command()).resolve().parent / "python3"
    if not python.exists():
        raise Refused(f"there is no {python} beside its `ray`; run `make setup` first")
    return str(python)


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
