"""Local paths on clusters of several nodes: used where they are, or refused before a start."""

from pathlib import Path

import pytest
import ray

from rnnray import cluster, reach
from rnnray.errors import UserError


class Nodes:
    """A cluster that is not there: its nodes, and those that have the driver's files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def __call__(self, *, working: str, having: str, may_grow: bool = False) -> None:
        nodes = {node: f"10.0.0.{node}" for node in working}
        context = type("Context", (), {"get_node_id": lambda self: "1"})()
        self._patch.setattr(ray, "is_initialized", lambda: True)
        self._patch.setattr(ray, "get_runtime_context", lambda: context)
        self._patch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
        self._patch.setattr(cluster, "most", lambda _: 8.0 if may_grow else 4.0)
        self._patch.setattr(reach, "_nodes", lambda: nodes)
        self._patch.setattr(reach, "_having", lambda *_: [n for n in having if n in nodes])


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    return Nodes(monkeypatch)


def test_a_head_without_cpus_whose_cache_nobody_reaches_is_told_before_anything_starts(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes(working="23", having="1")
    message = (
        rf"{tmp_path}: the drawings are on the .*, but no .* \(10.0.0.2, 10.0.0.3\) has them; copy"
    )
    with pytest.raises(UserError, match=message):
        reach.reading(str(tmp_path), "the drawings")


@pytest.mark.parametrize(
    ("working", "having", "may_grow", "selected"),
    [
        ("1", "1", False, None),  # one machine
        ("123", "123", False, None),  # a shared folder
        ("123", "123", True, None),
        ("123", "13", False, "in(1,3)"),
        ("1", "1", True, "in(1)"),  # those that come may not have it
        ("", "", True, None),  # nodes start when there is work; nobody knows
    ],
)
def test_what_some_nodes_have_is_read_there(
    nodes: Nodes,
    tmp_path: Path,
    working: str,
    having: str,
    may_grow: bool,
    selected: str | None,
) -> None:
    nodes(working=working, having=having, may_grow=may_grow)
    options = {} if selected is None else {"label_selector": {"ray.io/node-id": selected}}
    assert reach.reading(str(tmp_path), "the drawings") == options


def test_a_uri_is_read_anywhere(nodes: Nodes) -> None:
    nodes(working="23", having="")
    assert reach.reading("s3://bucket/drawings", "the drawings") == {}


def test_files_are_not_scattered_over_the_disks_of_several_nodes(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes(working="12", having="1")
    with pytest.raises(
        UserError, match=r"would be scattered over nodes, since 10.0.0.2 and the driver's"
    ):
        reach.check_writing(str(tmp_path), "the files")
    assert list(tmp_path.iterdir()) == []
    nodes(working="12", having="12")
    reach.check_writing(str(tmp_path), "the files")


def test_the_same_path_with_other_files_is_not_the_same(tmp_path: Path) -> None:
    assert reach._size(str(tmp_path / "nothing")) is None
    (tmp_path / "a").write_text("12345")
    assert reach._size(str(tmp_path)) == reach._size(str(tmp_path / "a")) == (1, 5)


def test_other_nodes_are_asked(ray_cluster: None, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    (own,) = reach._nodes()
    lost = "ab" * 28
    asked = {own: "127.0.0.1", lost: "10.0.0.9"}
    assert reach._having(str(tmp_path), (1, 5), asked) == [own]
