"""Batch jobs: a network in each of some actors, mapped over a dataset, and results as Parquet."""

import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray.data

from rnnray import cluster, devices, packaged, reach, storage
from rnnray.errors import UserError
from rnnray.progress import Every, say

Work = Callable[[Any, pa.Table], pa.Table]


class _Actor:
    """Loads its network with the first batch.

    Not in the constructor: Ray passes on only the text of a failure there, and starts the actor
    again.
    """

    def __init__(self, load: Callable[..., Any], work: Work, actors: int) -> None:
        self._load, self._work, self._actors = load, work, actors

    @cached_property
    def _network(self) -> Any:
        return self._load(threads=max(1, devices.node_cpus() // self._actors))

    def __call__(self, rows: pa.Table) -> pa.Table:
        return self._work(self._network, rows)


def mapped(
    dataset: ray.data.Dataset,
    load: Callable[..., Any],
    work: Work,
    checkpoint: str | None = None,
    workers: int | None = None,
    *,
    gpu: bool | None = None,
    batch_rows: int = 1024,
) -> ray.data.Dataset:
    """Map a function of a network and a table over a dataset, in order.

    Args:
        dataset: tables.
        load: loads the network in an actor; takes `threads`, the actor's share of its node's CPUs.
        work: returns a table for the network and a table.
        checkpoint: path or URI of the checkpoint that `load` reads, if any.
        workers: number of actors; None for as many as the data keep busy. Since each takes seconds
            to start, that is at most one a GPU, or without GPUs at most 8, with a CPU left for
            reading.
        gpu: whether each actor gets a GPU; None: if the cluster has any.
        batch_rows: number of rows of a table.

    Raises:
        UserError: the cluster can never provide that, or no node that runs tasks reaches the
            checkpoint.
    """
    gpus = cluster.has_gpus() if gpu is None else gpu
    most = int(cluster.most("GPU")) if gpus else min(int(cluster.most("CPU")) - 1, 8)
    actors = workers or max(1, most)
    resources = cluster.worker_resources(actors, gpus, None)
    everywhere = checkpoint is None or checkpoint in packaged.FOLDERS
    nodes = {} if everywhere else reach.reading(checkpoint or "", "the checkpoint's files")
    return dataset.map_batches(
        _Actor,
        fn_constructor_kwargs={"load": load, "work": work, "actors": actors},
        batch_format="pyarrow",
        batch_size=batch_rows,
        compute=ray.data.ActorPoolStrategy(min_size=workers or 1, max_size=actors),
        num_cpus=resources["CPU"],
        num_gpus=resources.get("GPU"),
        **nodes,
    )


def write_parquet(
    dataset: ray.data.Dataset,
    schema: pa.Schema,
    output: str,
    *,
    progress: str,
    nothing: str | None = None,
    rows_each: int = 1,
) -> tuple[int, pa.Table]:
    """Compute and write a dataset as one Parquet file, which appears only when it is whole.

    Args:
        dataset: tables with the columns of the schema, and perhaps others, which are not written.
        schema: schema of the file.
        output: path or URI of the file.
        progress: line that tells the number of items so far, such as "classified {:,} drawings".
        nothing: error if there is no row; without it an empty file is written.
        rows_each: number of rows of an item.

    Returns:
        The number of items, and the columns that are not written.

    Raises:
        UserError: the output cannot be written, or there is no row.
    """
    folder, _, name = storage.absolute(output).rpartition("/")
    storage.check_writable(folder)
    count, others, due = 0, [], Every()
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / name
        with pq.ParquetWriter(file, schema, write_page_checksum=True) as writer:
            for rows in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                writer.write_table(rows.select(schema.names).cast(schema))
                others.append(rows.drop_columns(schema.names))
                count += len(rows) // rows_each
                if due():
                    say(progress.format(count))
        if nothing and not count:
            raise UserError(nothing)
        storage.put_file(file, f"{folder}/{name}")
    return count, pa.concat_tables(others) if others else pa.table({})
