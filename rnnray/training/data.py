"""What a run trains on and is judged by."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.train import DataConfig

# Blocks of Ray Data that a worker fetches ahead; its feed makes a few batches ahead of that.
_BLOCKS_AHEAD = 2


@dataclass(frozen=True)
class TrainingData:
    """Ray Data, of blocks of Arrow rows that a task's `batch` takes."""

    training: ray.data.Dataset
    """One pass over the training rows."""
    validation: ray.data.Dataset
    """One pass over the validation rows."""
    training_rows: int
    """Rows of `training`, for schedule and progress."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What the data are, as plain values: a run goes on only with the same."""


@dataclass(frozen=True)
class Blocks:
    """The same as tables that are read already: at hand, or references into Ray's object store.

    A process that holds all CPUs of a cluster can read these; an execution of Ray Data would wait
    for one.
    """

    training: Sequence[Any]
    """Tables, or references to tables, of the training rows."""
    validation: Sequence[Any]
    """Likewise of the validation rows."""
    training_rows: int
    """Rows of `training`."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """See `TrainingData`."""

    def as_data(self) -> TrainingData:
        """The same rows in the same order as Ray Data."""
        return TrainingData(
            _dataset(self.training), _dataset(self.validation), self.training_rows, self.identity
        )


def tables(data: ray.data.Dataset | ray.data.DataIterator) -> Iterable[pa.Table]:
    """One pass over Ray Data, a table a block."""
    blocks: Iterable[pa.Table] = data.iter_batches(
        batch_size=None, batch_format="pyarrow", prefetch_batches=_BLOCKS_AHEAD
    )
    return blocks


def read_tables(blocks: Sequence[Any]) -> Iterator[pa.Table]:
    """One pass over tables or references to tables, one at a time in memory."""
    for block in blocks:
        yield ray.get(block) if isinstance(block, ray.ObjectRef) else block


def _dataset(blocks: Sequence[Any]) -> ray.data.Dataset:
    return ray.data.from_arrow_refs(
        [block if isinstance(block, ray.ObjectRef) else ray.put(block) for block in blocks]
    )


class Shares(DataConfig):  # type: ignore[misc]
    """Training data in equal shares, so that workers take equally many steps; of validation data
    every row to exactly one worker.
    """

    def configure(
        self,
        datasets: dict[str, ray.data.Dataset],
        world_size: int,
        worker_handles: Sequence[Any] | None,
        worker_node_ids: list[str] | None,
        **_: Any,
    ) -> list[dict[str, ray.data.DataIterator]]:
        """What each worker reads."""
        shares: list[dict[str, ray.data.DataIterator]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            splits = dataset.streaming_split(
                world_size, equal=name == "train", locality_hints=worker_node_ids
            )
            for share, split in zip(shares, splits, strict=True):
                share[name] = split
        return shares
