"""Placement of the nodes of a cluster on one machine, and the search for their processes.

`Namespaces` gives each node a network namespace of its own: the head's holds a bridge, and a veth
pair leads from it to each node. Nothing leads out of them, so nothing outside reaches the nodes,
and pulling one cable cuts a node off. `Processes` runs all nodes on 127.0.0.1, if namespaces are
not allowed.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

HEAD = "head"
MARK = "RNNRAY_LOCAL_NODE"
"""Environment variable that names the cluster and the node of a process."""
_SUBNET = "10.77.0"
_BRIDGE = "cluster"
_RAY_FOLDER = Path("/tmp/ray")
# Rays that share /tmp/ray share the files by which a process finds its node: each gets its own.
_OWN_FOLDER = 'mount --bind "$0" /tmp/ray && exec "$@"'
_KILL_SECONDS = 20.0


class Refused(Exception):  # noqa: N818
    """A request that cannot be done; the message says why, and what to do."""


class Namespaces:
    """Each node in a network namespace of its own."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    @classmethod
    def allowed(cls) -> bool:
        """Return whether this user may do what `create` and `enter` do.

        Some containers allow namespaces, but no mounts, bridges or cables.
        """
        probe = f"rnnray-probe-{os.getpid()}"
        try:
            _ip("netns", "add", probe)
        except (Refused, FileNotFoundError):
            return False
        try:
            _ip("netns", "exec", probe, "mount", "--bind", "/tmp", "/tmp")
            _ip("-n", probe, "link", "add", _BRIDGE, "type", "bridge")
            _ip("-n", probe, "link", "add", "eth0", "type", "veth", "peer", "name", "node1")
            _ip("-n", probe, "link", "set", "node1", "master", _BRIDGE)
        except Refused:
            return False
        finally:
            _ip("netns", "delete", probe)
        return True

    def address(self, index: int) -> str:
        """The address of the node of a number, 0 for the head."""
        return f"{_SUBNET}.{index + 1}"

    def create(self, node: str, index: int) -> None:
        """Make a node's namespace and connect it."""
        namespace, head = self._name(node), self._name(HEAD)
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        device = _BRIDGE if node == HEAD else "eth0"
        if node == HEAD:
            _ip("-n", namespace, "link", "add", _BRIDGE, "type", "bridge")
        else:
            pair = ("type", "veth", "peer", "name", node, "netns", head)
            _ip("-n", namespace, "link", "add", "eth0", *pair)
            _ip("-n", head, "link", "set", node, "master", _BRIDGE)
            _ip("-n", head, "link", "set", node, "up")
        _ip("-n", namespace, "address", "add", f"{self.address(index)}/24", "dev", device)
        _ip("-n", namespace, "link", "set", device, "up")

    def enter(self, node: str, folder: Path) -> list[str]:
        """Return the beginning of a command that runs on a node, with a /tmp/ray of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        if not _RAY_FOLDER.exists():
            _RAY_FOLDER.mkdir(exist_ok=True)
            _RAY_FOLDER.chmod(0o1777)  # the Rays of other users need it too
        inside = ("sh", "-c", _OWN_FOLDER, str(folder))
        return ["ip", "netns", "exec", self._name(node), *inside]

    def nodes(self) -> set[str]:
        """The nodes of the cluster on this machine, also those that no state lists."""
        prefix = self._name("")
        return {name.removeprefix(prefix) for name in _namespaces() if name.startswith(prefix)}

    def processes(self, node: str) -> set[int]:
        """The processes of a node."""
        if self._name(node) not in _namespaces():
            return set()
        return {int(pid) for pid in _ip("netns", "pids", self._name(node)).split()}

    def cut(self, node: str) -> None:
        """Pull a node's cable."""
        _ip("-n", self._name(HEAD), "link", "set", node, "down")

    def heal(self, node: str) -> None:
        """Plug it in again."""
        _ip("-n", self._name(HEAD), "link", "set", node, "up")

    def is_cut(self, node: str) -> bool:
        """Return whether a node's cable is pulled."""
        return node != HEAD and ",UP" not in _ip("-n", self._name(HEAD), "link", "show", node)

    def remove(self) -> None:
        """Remove all namespaces of the cluster."""
        for node in self.nodes():
            _ip("netns", "delete", self._name(node))

    def _name(self, node: str) -> str:
        return f"{self._cluster}-{node}"


class Processes:
    """All nodes on 127.0.0.1, if namespaces are not allowed."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    def address(self, index: int) -> str:
        """The address of a node; all have the same."""
        return "127.0.0.1"

    def create(self, node: str, index: int) -> None:
        """Nothing to make."""

    def enter(self, node: str, folder: Path) -> list[str]:
        """Nothing to put before a command."""
        return []

    def nodes(self) -> set[str]:
        """The nodes of the cluster on this machine, also those that no state lists."""
        return {node for node, _ in self._marked().values() if node}

    def processes(self, node: str) -> set[int]:
        """The processes of a node: those with its mark, and what they started.

        Ray's workers write their title over their environment, and the mark with it.
        """
        found: set[int] = set()
        children: dict[int, set[int]] = {}
        for pid, (marked, parent) in self._marked().items():
            children.setdefault(parent, set()).add(pid)
            if marked == node:
                found.add(pid)
        waiting = list(found)
        while waiting:
            new = children.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found - {os.getpid()}

    def cut(self, node: str) -> None:
        """Not possible."""
        raise Refused(
            "nodes that share 127.0.0.1 cannot be cut off; use `nodes kill`, or `nodes up` as a "
            "user who may make network namespaces (root)"
        )

    heal = cut

    def is_cut(self, node: str) -> bool:
        """Never."""
        return False

    def remove(self) -> None:
        """Nothing to remove."""

    def _marked(self) -> dict[int, tuple[str, int]]:
        """All processes of this user: the node that marks them, if any, and their parent."""
        mark = f"{MARK}={self._cluster}-".encode()
        found = {}
        for pid in _all_processes():
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended, or is another user's
                continue
            nodes = [each.removeprefix(mark) for each in environment if each.startswith(mark)]
            found[pid] = (nodes[0].decode() if nodes else "", int(fields[1]))
        return found


Placement = Namespaces | Processes


def kill(placement: Placement, node: str) -> None:
    """End all processes of a node at once, as a power cut would.

    Raises:
        Refused: some are still there after 20 seconds.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    killed: dict[int, str] = {}
    while True:
        # A process leaves its namespace before it is gone.
        ending = {pid for pid, started in killed.items() if started and start_time(pid) == started}
        pids = placement.processes(node)
        if not pids | ending:
            return
        for pid in pids:
            killed[pid] = start_time(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Refused(f"processes of {node} do not end: {sorted(pids | ending)}")
        time.sleep(0.05)


def start_time(pid: int) -> str:
    """Return the start of a process, in the kernel's ticks; empty when it is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _all_processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _namespaces() -> set[str]:
    """The names of all network namespaces of this machine."""
    return {line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()}


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
