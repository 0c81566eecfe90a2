"""The nodes of a cluster that reach a local path: its readers run there, or the job is refused."""

import uuid
from pathlib import Path
from typing import Any

import ray
from pyarrow import fs
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rnnray import cluster, storage
from rnnray.errors import UserError

_NODE_ID = "ray.io/node-id"  # the label that Ray gives every node
_SHARED = "storage that all nodes reach (s3://, gs://, or a folder that all of them mount)"


def reading(uri: str, what: str) -> dict[str, Any]:
    """Return Ray's options that keep tasks and actors on the nodes that have a path.

    There are no options for a URI, nor if all nodes have the same files. If only some nodes have
    them, nodes that start later get no such task.

    Args:
        uri: path or URI of a file or a folder.
        what: name of the data for messages, such as "the drawings".

    Raises:
        UserError: no node that runs tasks has the path; the message says what is needed.
    """
    path, nodes = _local(uri), _nodes()
    here = _size(path) if path else None
    if here is None or not nodes:
        return {}
    having = _having(path, here, nodes)
    if not having:
        raise UserError(
            f"{uri}: {what} are on the driver's node, but no node that runs tasks "
            f"({', '.join(sorted(nodes.values()))}) has them; copy them to {_SHARED} and use that "
            "path"
        )
    own = ray.get_runtime_context().get_node_id()
    may_grow = cluster.most("CPU") > ray.cluster_resources().get("CPU", 0)
    if len(having) == len(nodes) and not (may_grow and having == [own]):
        return {}
    return {"label_selector": {_NODE_ID: f"in({','.join(having)})"}}


def check_writing(uri: str, what: str) -> None:
    """Check that tasks on all nodes write into one and the same folder.

    Args:
        uri: path or URI of the folder.
        what: name of the files for messages.

    Raises:
        UserError: some nodes would write to a disk of their own.
    """
    path, nodes = _local(uri), _nodes()
    own = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
    if path is None or set(nodes) <= {own}:
        return
    probe = storage.join(uri, f".reach-{uuid.uuid4().hex}")
    storage.write_bytes(probe, b"")
    file = Path(storage.open_uri(probe)[1])
    try:
        having = _having(str(file), (1, 0), nodes)
    finally:
        file.unlink()
    missing = sorted(nodes[node] for node in nodes.keys() - set(having))
    if missing:
        raise UserError(
            f"{uri}: {what} would be scattered over nodes, since {', '.join(missing)} and the "
            "driver's node "
            f"have different folders there; use {_SHARED}"
        )


def _local(uri: str) -> str | None:
    """Return the path of a local file or folder; None for an object store, which is not asked."""
    if "://" in uri and not uri.startswith("file://"):
        return None
    filesystem, path = storage.open_uri(uri)
    return path if isinstance(filesystem, fs.LocalFileSystem) else None


def _nodes() -> dict[str, str]:
    """Return the addresses of the nodes that run tasks, by node id."""
    if not ray.is_initialized():
        return {}
    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    return {node["NodeID"]: node["NodeManagerAddress"] for node in alive}


def _having(path: str | None, size: tuple[int, int], nodes: dict[str, str]) -> list[str]:
    """Return the nodes that have files of the same number and size under the path."""
    own = ray.get_runtime_context().get_node_id()
    look = ray.remote(num_cpus=0, max_retries=0)(_size)
    asked = {
        node: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(path)
        for node in nodes
        if node != own
    }
    having = [own] if own in nodes else []
    for node, answer in asked.items():
        try:
            if ray.get(answer) == size:
                having.append(node)
        except RayError:  # the node was lost meanwhile
            continue
    return sorted(having)


def _size(path: str | None) -> tuple[int, int] | None:
    """Return the number of files and bytes of a file or folder; None if there is none."""
    there = Path(path or "")
    if there.is_file():
        return 1, there.stat().st_size
    if not there.is_dir():
        return None
    files = [file.stat().st_size for file in there.rglob("*") if file.is_file()]
    return len(files), sum(files)
