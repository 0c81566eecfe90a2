"""A cluster that is not there is told in a line, and not waited for."""

import socket
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants

from rnnray import cluster
from rnnray.errors import UserError


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address at which nobody listens."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", None)  # which would wait for minutes
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_a_cluster_that_was_killed_does_not_keep_a_job_waiting(
    nowhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    for folder in (tmp_path, tmp_path / "ray"):
        folder.mkdir(exist_ok=True)
        (folder / "ray_current_cluster").write_text(nowhere)
    with pytest.raises(UserError, match=rf"{nowhere}; start it.*`ray stop`"):
        cluster.connect()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_wrong_ray_address_does_not_keep_a_job_waiting(
    nowhere: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", scheme + nowhere)
    with pytest.raises(UserError, match=rf"RAY_ADDRESS={scheme}{nowhere}.*unset RAY_ADDRESS"):
        cluster.connect()


def test_a_new_cluster_that_is_asked_for_by_name_listens_on_loopback_too(
    nowhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def init(**options: object) -> None:
        asked.append(options | {"spans_machines": ray_constants.ENABLE_RAY_CLUSTER})

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    cluster.connect()
    assert asked[0]["spans_machines"] is False
