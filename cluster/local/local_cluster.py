"""A Ray cluster of several nodes on this machine: start it, look at it, hurt it, stop it.

Its state is in a folder (`nodes.json`, the token, the nodes' logs and their /tmp/ray), so that
another process can stop the cluster, also after a crash.
"""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node import Node, free_ports, ray_command, start_command
from placement import HEAD, MARK, Namespaces, Placement, Processes, Refused, kill, start_time

_START_SECONDS = 120.0
# Ray declares a node dead that did not answer five times in a row, and waits five seconds for each
# answer. So it declares a node that is cut off dead within 35 s; with its defaults, within 65 s.
HEALTH_CHECKS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
}
# Runs on the head, where the dashboard is, and so ignores proxies of the environment.
_ASK = """
import json, sys, urllib.request
token = open(sys.argv[2]).read().strip()
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {token}"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(opener.open(request, timeout=10).read().decode())
"""


class LocalCluster:
    """The cluster of a state folder."""

    def __init__(self, state: Path) -> None:
        self.folder = state
        self.nodes: dict[str, Node] = {}
        self.namespaces = False
        self.gcs, self.dashboard_port = "", 0
        # Ray's /tmp. Sockets are below it, whose paths may have at most 107 characters.
        self.ray_tmpdir = "/tmp"
        # Derived, so that it finds namespaces, processes and folders even if nodes.json is lost.
        self.name = f"rnnray-{hashlib.sha256(str(state).encode()).hexdigest()[:6]}"
        self._file, self._token = state / "nodes.json", state / "token"
        with suppress(FileNotFoundError):
            saved = json.loads(self._file.read_text())
            self.namespaces, self.gcs = saved["namespaces"], saved["gcs"]
            self.dashboard_port, self.ray_tmpdir = saved["dashboard_port"], saved["ray_tmpdir"]
            self.nodes = {name: Node(**node) for name, node in saved["nodes"].items()}

    def up(self, workers: int, cpus: int, head_cpus: int, *, namespaces: bool) -> None:
        """Start the head and other nodes; return when all of them are in the cluster.

        Args:
            workers: number of nodes beside the head.
            cpus: number of CPUs that each of them has for Ray.
            head_cpus: number of CPUs of the head.
            namespaces: give each node a network namespace of its own.

        Raises:
            Refused: a node does not start.
        """
        self.namespaces = namespaces
        self.folder.mkdir(parents=True, exist_ok=True)
        self._token.touch(mode=0o600)
        self._token.chmod(0o600)
        self._token.write_text(secrets.token_hex(32))
        port, self.dashboard_port = (6379, 8265) if namespaces else free_ports(2)
        if not namespaces:
            # Not /tmp/ray: there, every Ray of this machine would find this cluster.
            self.ray_tmpdir = tempfile.mkdtemp(prefix=f"{self.name}-", dir="/tmp")
        self.gcs = f"{self.placement.address(0)}:{port}"
        names = [HEAD, *(f"node{index}" for index in range(1, workers + 1))]
        for index, name in enumerate(names):
            address = self.placement.address(index)
            self.nodes[name] = Node(index, head_cpus if name == HEAD else cpus, address)
        self._save()
        for name, node in self.nodes.items():
            self.placement.create(name, node.index)
        self.start([HEAD])
        self.start(names[1:])

    def start(self, names: Iterable[str]) -> None:
        """Start nodes and wait for them; first end processes left from earlier starts, and connect
        nodes that were cut off.

        Raises:
            Refused: a node is up already, or does not come up within two minutes.
        """
        names = list(names)
        if HEAD not in names:
            # Without a head, the others would wait in vain.
            self._check_runs(HEAD)
        before = self._alive()
        for name in names:
            runs, cut = self._node(name).runs(), self.placement.is_cut(name)
            if runs and name in before.values() and not cut:
                raise Refused(f"{name} is up already")
            kill(self.placement, name)
            if cut:
                self.placement.heal(name)
            self._start(name)
        self._wait_for(set(names), set(before), _START_SECONDS)

    def kill(self, name: str) -> None:
        """End all processes of a node at once.

        Raises:
            Refused: there is no such node, or it does not run.
        """
        self._check_runs(name)
        kill(self.placement, name)

    def cut(self, name: str) -> None:
        """Cut a node off from the others.

        Raises:
            Refused: there is no such node, it is the head, or the nodes share one address.
        """
        self._not_head(name)
        self.placement.cut(name)

    def heal(self, name: str) -> bool:
        """Connect a node again; true when it had to be started again.

        Ray does not accept a node again that it has declared dead. The node ends itself when it
        learns of this, so it is started again here.

        Raises:
            Refused: as `cut`; or the node does not come back.
        """
        node = self._not_head(name)
        self.placement.heal(name)
        if node.runs() and name in self._alive().values():
            return False
        self.start([name])
        return True

    def status(self) -> list[tuple[str, Node, str]]:
        """Name, node and state of each."""
        alive = set(self._alive().values())
        states = []
        for name, node in self.nodes.items():
            if not node.runs():
                state = "stopped"
            elif self.placement.is_cut(name):
                state = "cut off" if name in alive else "cut off (dead to the cluster)"
            else:
                state = "alive" if name in alive else "not in the cluster"
            states.append((name, node, state))
        return states

    def command(self, command: list[str]) -> tuple[list[str], dict[str, str]]:
        """A command as it runs on the head, and its environment: it finds the cluster.

        Raises:
            Refused: the head does not run.
        """
        self._check_runs(HEAD)
        environment = self._environment(HEAD) | {
            "RAY_ADDRESS": self.gcs,
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{self.dashboard_port}",
        }
        return [*self.placement.enter(HEAD, self._own(HEAD)), *command], environment

    def down(self) -> bool:
        """Stop everything and delete the state, also what nodes.json does not list; return whether
        there was anything.
        """
        names = set(self.nodes)
        for placement in self._placements():
            here = placement.nodes()
            # The head last, or the others would look for it.
            for name in sorted(here, key=HEAD.__eq__):
                kill(placement, name)
            placement.remove()
            names |= here
        for path in (self._file, self._token):
            path.unlink(missing_ok=True)
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for folder in Path("/tmp").glob(f"{self.name}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the user's folder may hold something else
            self.folder.rmdir()
        return bool(names)

    @property
    def placement(self) -> Placement:
        """Placement of its nodes."""
        return Namespaces(self.name) if self.namespaces else Processes(self.name)

    def _placements(self) -> list[Placement]:
        """Return all possible placements of its nodes: every one if the state is lost."""
        if self.nodes:
            return [self.placement]
        return [*([Namespaces(self.name)] if Namespaces.allowed() else []), Processes(self.name)]

    def _start(self, name: str) -> None:
        node = self.nodes[name]
        command = start_command(
            name, node, self.gcs, self.dashboard_port, shared=not self.namespaces
        )
        self._own(name).mkdir(parents=True, exist_ok=True)
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                [*self.placement.enter(name, self._own(name)), *command],
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node.pid, node.started = process.pid, start_time(process.pid)
        self._save()

    def _wait_for(self, names: set[str], before: set[str], seconds: float) -> None:
        """Wait for new nodes; a killed node still seems alive for a few seconds."""
        deadline = time.monotonic() + seconds
        while missing := names - {n for id_, n in self._alive().items() if id_ not in before}:
            for name in missing:
                if not self.nodes[name].runs():
                    raise Refused(f"{name} did not start: {self._last_line(name)}")
            if time.monotonic() > deadline:
                name = min(missing)
                raise Refused(
                    f"{name} is not in the cluster after {seconds:.0f} s: {self._last_line(name)}"
                )
            time.sleep(0.5)

    def _alive(self) -> dict[str, str]:
        """The nodes that the head considers alive, by Ray's id; none if it does not answer."""
        if HEAD not in self.nodes or not self.nodes[HEAD].runs():
            return {}
        url = f"http://127.0.0.1:{self.dashboard_port}/api/v0/nodes"
        ask = [sys.executable, "-c", _ASK, url, str(self._token)]
        done = subprocess.run(
            [*self.placement.enter(HEAD, self._own(HEAD)), *ask],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return {}
        nodes: list[dict[str, Any]] = json.loads(done.stdout)["data"]["result"]["result"]
        return {n["node_id"]: n["node_name"] for n in nodes if n["state"] == "ALIVE"}

    def _environment(self, name: str) -> dict[str, str]:
        """The environment of a node's processes: this process's, with our settings of Ray."""
        ours = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "TF_"))}
        ours["PATH"] = f"{Path(ray_command()).parent}:{ours.get('PATH', os.defpath)}"
        ours |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self._token)}
        ours["RAY_TMPDIR"] = self.ray_tmpdir
        if not self.namespaces:
            ours["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # see loopback_ray.py
        return ours | HEALTH_CHECKS | {MARK: f"{self.name}-{name}"}

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            there = f"there are {', '.join(self.nodes)}" if self.nodes else "start some: `nodes up`"
            raise Refused(f"no node {name}; {there}")
        return self.nodes[name]

    def _not_head(self, name: str) -> Node:
        node = self._node(name)
        if name == HEAD:
            raise Refused("the head cannot be cut off: cut the other nodes, or `nodes kill head`")
        return node

    def _check_runs(self, name: str) -> None:
        if not self._node(name).runs():
            raise Refused(f"{name} does not run; `nodes start {name}` starts it")

    def _own(self, name: str) -> Path:
        return self.folder / name / "ray"

    def _log(self, name: str) -> Path:
        return self.folder / name / "start.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def _save(self) -> None:
        saved = {
            "name": self.name,
            "namespaces": self.namespaces,
            "gcs": self.gcs,
            "dashboard_port": self.dashboard_port,
            "ray_tmpdir": self.ray_tmpdir,
            "nodes": {name: asdict(node) for name, node in self.nodes.items()},
        }
        # Not by `rnnray.whole_file`: `nodes` runs with any Python, also one without rnnray.
        temporary = self._file.with_suffix(".part")
        temporary.write_text(json.dumps(saved, indent=1))
        temporary.replace(self._file)
