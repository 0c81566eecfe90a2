"""cluster/local/nodes: several real nodes on one machine, and nothing left of them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import Nodes, need_namespaces, runs

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


def test_mistakes_are_told_in_one_line(nodes: Nodes) -> None:
    for words in (["kill", "node1"], ["run", "--", "true"], ["cut", "node1"]):
        done = nodes.try_(*words)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("nodes: no node ")
        assert "nodes up" in line
