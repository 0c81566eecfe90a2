"""cluster/local/nodes: several real nodes on one machine, and nothing left of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from nodes import LOCAL, Nodes, need_namespaces, runs

sys.path.append(str(LOCAL))
import placement
from local_cluster import LocalCluster

BIN = Path(sys.executable).parent
CONNECT = """
import socket
try:
    socket.create_connection(("10.77.0.2", 1), timeout=1)
except ConnectionRefusedError:
    print("reached")
except OSError:
    print("not reached")
"""
DRIVER = """
import os, ray
ray.init(log_to_driver=False)
print(os.environ["RAY_TMPDIR"], ray.get(ray.remote(lambda: 6 * 7).remote()))
"""
# 127.0.0.1, ::ffff:127.0.0.1 and ::1, as Linux writes them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
LISTENING = "0A"


def addresses(pids: Iterable[int]) -> set[str]:
    """Where processes listen, as Linux writes it."""
    files = set()
    for pid in pids:
        with suppress(OSError):  # it has ended
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                files.add(str(descriptor.readlink()))
    sockets = [
        line.split()
        for file in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(file).read_text().splitlines()
    ]
    return {
        each[1].partition(":")[0]
        for each in sockets
        if each[3] == LISTENING and f"socket:[{each[9]}]" in files
    }


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(prefix="nodes", ignore_cleanup_errors=True) as folder:
        found = Nodes(Path(folder) / "state")
        yield found
        found.try_("down")


def test_nodes_start_can_be_cut_off_and_leave_nothing_behind(nodes: Nodes) -> None:
    need_namespaces()
    nodes("up", "--workers", "1")
    assert nodes.states() == {"head": "alive", "node1": "alive"}
    (again,) = nodes.try_("up").stderr.splitlines()
    assert again == "nodes: 2 nodes are up already; stop them first: nodes down"
    assert (nodes.state / "token").stat().st_mode & 0o777 == 0o600

    submit = (BIN / "ray", "job", "submit", "--no-wait", "--", "true")
    outsider = nodes.try_("run", "--", "env", "-u", "RAY_AUTH_MODE", *submit)
    assert (outsider.returncode != 0, nodes.try_("run", "--", *submit).returncode) == (True, 0)

    look = ("run", "--", sys.executable, "-c", CONNECT)
    assert nodes(*look) == "reached\n"
    nodes("cut", "node1")
    assert nodes(*look) == "not reached\n"
    assert nodes.states()["node1"].startswith("cut off")
    nodes("heal", "node1")
    assert nodes(*look) == "reached\n"
    assert nodes.states() == {"head": "alive", "node1": "alive"}
    nodes("cut", "node1")
    nodes("start", "node1")
    assert nodes.states() == {"head": "alive", "node1": "alive"}
    # Nothing leads in, and nothing leads out.
    assert "10.77.0." not in subprocess.check_output(["ip", "-4", "address"], text=True)
    (route,) = nodes("run", "--", "ip", "route").splitlines()
    assert route.startswith("10.77.0.0/24 dev cluster")

    name, pids = nodes.cluster(), nodes.pids("head") + nodes.pids("node1")
    assert len(pids) > 4
    assert nodes("down") == "stopped\n"
    assert not [pid for pid in pids if runs(pid)]
    names = subprocess.check_output(["ip", "netns", "list"], text=True)
    assert name not in names
    assert not nodes.state.exists()
    assert nodes("down") == "nothing is up\n"


def test_nodes_without_namespaces_are_reached_from_this_machine_alone_and_no_job_joins_them_unasked(
    nodes: Nodes,
) -> None:
    nodes("up", "--no-namespaces", "--workers", "1")
    saved = json.loads((nodes.state / "nodes.json").read_text())
    where = placement.Processes(saved["name"])
    pids = where.processes("head") | where.processes("node1")
    assert len(pids) > 4
    assert addresses(pids)
    assert addresses(pids) <= LOOPBACK

    folder, answer = nodes("run", "--", sys.executable, "-c", DRIVER).split()
    assert (folder, answer) == (saved["ray_tmpdir"], "42")
    found_by_all = Path("/tmp/ray/ray_current_cluster")
    assert not found_by_all.exists() or saved["gcs"] not in found_by_all.read_text()

    assert nodes("down") == "stopped\n"
    assert not [pid for pid in pids if runs(pid)]
    assert not Path(folder).exists()
    assert not nodes.state.exists()


@pytest.mark.parametrize("namespaces", [True, False])
def test_nothing_goes_on_for_ever_because_the_state_file_was_lost(
    nodes: Nodes, namespaces: bool
) -> None:
    name = LocalCluster(nodes.state.resolve()).name
    environment, enter = dict(os.environ), list[str]()
    if namespaces:
        need_namespaces()
        subprocess.run(["ip", "netns", "add", f"{name}-node1"], check=True)
        enter = ["ip", "netns", "exec", f"{name}-node1"]
    else:
        environment[placement.MARK] = f"{name}-node1"
    folder = tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp")
    with subprocess.Popen([*enter, "sleep", "600"], env=environment) as left:
        assert nodes("down") == "stopped\n"
        assert left.wait(timeout=10) < 0
    assert not Path(folder).exists()
    assert nodes("down") == "nothing is up\n"


@pytest.mark.parametrize("lacking", ["netns", "mount", "bridge", "veth"])
def test_machines_that_allow_half_of_it_get_nodes_without_namespaces(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def ip(*arguments: str) -> str:
        asked.append(arguments)
        if lacking in arguments and "delete" not in arguments:
            raise placement.Refused("Operation not permitted")
        return ""

    monkeypatch.setattr(placement, "_ip", ip)
    assert not placement.Namespaces.allowed()
    assert lacking == "netns" or asked[-1][:2] == ("netns", "delete")


def test_mistakes_are_told_in_one_line(nodes: Nodes) -> None:
    for words in (["kill", "node1"], ["run", "--", "true"], ["cut", "node1"]):
        done = nodes.try_(*words)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("nodes: no node ")
        assert "nodes up" in line
