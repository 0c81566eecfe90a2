"""Workers are told where the others listen, and which of them they are."""

import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
import ray

from rnnray.training.addresses import Addresses


class Group:
    """A worker group of Ray Train whose workers have these addresses."""

    def __init__(self, hosts: list[str]) -> None:
        self._hosts = hosts
        self.told: list[dict[str, Any]] = []

    def execute(self, function: Callable[[], Any]) -> list[Any]:
        found = []
        for host in self._hosts:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("ray.util.get_node_ip_address", lambda host=host: host)
                found.append(function())
        return found

    def execute_single_async(self, rank: int, function: Callable[..., None], *values: Any) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TF_CONFIG", "")
            function(*values)
            self.told.append(json.loads(os.environ["TF_CONFIG"]))
        return rank


@pytest.mark.parametrize(
    ("hosts", "meet_at"),
    [
        (["192.0.2.1"] * 3, ["127.0.0.1"] * 3),
        (["192.0.2.1", "192.0.2.2", "192.0.2.1"], ["192.0.2.1", "192.0.2.2", "192.0.2.1"]),
        (["2001:db8::1", "2001:db8::2"], ["[2001:db8::1]", "[2001:db8::2]"]),
    ],
)
def test_workers_meet_at_their_addresses_and_those_of_one_machine_on_loopback(
    hosts: list[str], meet_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "get", list)
    group, config = Group(hosts), Addresses()
    config.backend_cls().on_start(group, config)
    addresses = group.told[0]["cluster"]["worker"]
    assert [address.rpartition(":")[0] for address in addresses] == meet_at
    for rank, told in enumerate(group.told):
        assert told["cluster"] == {"worker": addresses}
        assert told["task"] == {"type": "worker", "index": rank}
    assert len(group.told) == len(hosts)
    for address in addresses:
        with socket.socket() as free:
            free.bind(("127.0.0.1", int(address.rpartition(":")[2])))
