"""How the workers of a run find each other: TF_CONFIG, which MultiWorkerMirroredStrategy reads."""

import json
import os
import socket
from typing import Any

import ray
import ray.util
from ray.train.backend import Backend, BackendConfig


class Addresses(BackendConfig):  # type: ignore[misc]
    """Tells each worker of Ray Train its rank and where the others listen.

    Ray's own `TensorflowConfig` imports TensorFlow in the driver and in Ray Train's controller,
    which need none: each spends seconds and 500 MB on it, and a run starts that much later.
    """

    @property
    def backend_cls(self) -> type[Backend]:
        """The class whose methods Ray Train calls as a group of workers starts."""
        return _TellAddresses


class _TellAddresses(Backend):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Called by Ray Train's controller before the training function."""
        del backend_config
        found = worker_group.execute(_free_address)
        if len({host for host, _ in found}) == 1:
            # Ray knows the one machine by its outer address. A laptop changes that with its
            # network, and its firewall may close it.
            found = [("127.0.0.1", port) for _, port in found]
        addresses = [_joined(host, port) for host, port in found]
        ray.get(
            [
                worker_group.execute_single_async(rank, _save, addresses, rank)
                for rank in range(len(addresses))
            ]
        )


def _free_address() -> tuple[str, int]:
    """Return this node's address and a port that nobody listens on."""
    host = ray.util.get_node_ip_address()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.bind(("", 0))
        return host, free.getsockname()[1]


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _save(addresses: list[str], rank: int) -> None:
    """Save in this process what TensorFlow's `TFConfigClusterResolver` reads."""
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
    )
