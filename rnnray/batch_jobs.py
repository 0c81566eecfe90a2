"""Actors of batch jobs, each with a network of its own, mapped over clips by Ray Data."""

from typing import Any

import ray.data

from rnnray import cluster

_BATCH_ROWS = 32


def mapped_by(
    clips: ray.data.Dataset,
    actor: type,
    arguments: dict[str, Any],
    workers: int | None = None,
    *,
    gpu: bool | None = None,
    **options: Any,
) -> ray.data.Dataset:
    """Map an actor class that holds a network over clip tables, in order.

    Args:
        clips: clip tables.
        actor: class whose constructor takes `arguments` and `actors`, the number of actors.
        arguments: arguments of the constructor.
        workers: number of actors; None for one a GPU, or without GPUs for one less than there are
            CPUs, at most 8.
        gpu: whether each actor gets a GPU; None: if the cluster has any.
        options: Ray's options of the actors.

    Raises:
        UserError: the cluster can never provide that.
    """
    gpus = cluster.has_gpus() if gpu is None else gpu
    most = int(cluster.most("GPU")) if gpus else min(int(cluster.most("CPU")) - 1, 8)
    actors = workers or max(1, most)
    resources = cluster.worker_resources(actors, gpus, None)
    return clips.map_batches(
        actor,
        fn_constructor_kwargs={**arguments, "actors": actors},
        batch_format="pyarrow",
        batch_size=_BATCH_ROWS,
        compute=ray.data.ActorPoolStrategy(min_size=workers or 1, max_size=actors),
        num_cpus=resources["CPU"],
        num_gpus=resources.get("GPU"),
        **options,
    )
