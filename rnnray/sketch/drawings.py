"""An opened source of drawings: its parts, as a `ray.data.Dataset` that streams them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
from pyarrow import fs
from ray.data.block import BlockMetadata

from rnnray.errors import UserError
from rnnray.sketch import demo, formats, table
from rnnray.sketch.tfrecord_file import OnBad

SPLITS = ("train", "validation", "test")

# Blocks of Ray Data: about 8,000 drawings, so that training starts early and memory stays small.
_BLOCK_BYTES = 4 << 20
DEMO_CHUNK = 4096


@dataclass(frozen=True)
class DemoPart:
    """Some of the endless sequence of generated drawings."""

    start: int
    length: int

    def tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        """The drawings, as sketch tables."""
        del on_bad  # generated drawings are never bad
        for first in range(self.start, self.start + self.length, DEMO_CHUNK):
            count = min(DEMO_CHUNK, self.start + self.length - first)
            rows = table.from_arrays(*demo.inks(count, seed=0, start=first), demo.CLASS_NAMES)
            if origin:
                rows = table.with_origin(rows, "demo", np.arange(first, first + count))
            yield rows

    def count(self) -> int:
        """How many drawings it has."""
        return self.length


@dataclass(frozen=True)
class FilePart:
    """A file of drawings, or the drawings of one split in it."""

    filesystem: fs.FileSystem
    path: str
    format: formats.Format
    class_names: tuple[str, ...]
    labelled: bool
    keep: formats.Keep | None = None
    share: range | None = None
    """Percents, of a hash of each drawing's ink, that are in the part."""

    def tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        """The drawings, as sketch tables."""
        rows = self._all_tables(origin=origin, on_bad=on_bad)
        if self.share is None:
            return rows
        return (some.filter(pa.array(_in_share(some, self.share))) for some in rows)

    def _all_tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        return formats.read_tables(
            self.filesystem,
            self.path,
            self.format,
            self.class_names,
            labelled=self.labelled,
            origin=origin,
            keep=self.keep,
            on_bad=on_bad,
        )

    def count(self) -> int:
        """How many drawings it has."""
        if self.share is not None:
            return sum(map(len, self.tables(origin=False, on_bad=lambda _: None)))
        return formats.count_rows(self.filesystem, self.path, self.format, self.keep)


Part = DemoPart | FilePart


def _in_share(rows: pa.Table, share: range) -> npt.NDArray[np.bool_]:
    """Which drawings are in a share: by their ink, so that a drawing that stands there twice is in
    one split alone, and files may be cut, joined or sorted another way.
    """
    percents = (zlib.crc32(ink.tobytes()) % 100 for ink in table.inks_of(rows))
    return np.fromiter((percent in share for percent in percents), np.bool_, len(rows))


class _PartsDatasource(ray.data.Datasource):  # type: ignore[misc]
    """One read task a part: Ray Data spreads them over the cluster, and each streams."""

    def __init__(self, parts: Sequence[Part], origin: bool, on_bad: OnBad | None) -> None:
        super().__init__()
        self._parts, self._origin, self._on_bad = parts, origin, on_bad

    def get_name(self) -> str:
        return "Drawings"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ray.data.ReadTask]:
        del parallelism, per_task_row_limit, data_context
        return [
            ray.data.ReadTask(
                partial(part.tables, origin=self._origin, on_bad=self._on_bad),
                BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None),
            )
            for part in self._parts
        ]


@dataclass(frozen=True)
class Drawings:
    """An opened source of drawings: its class names, and the parts of each split."""

    data: str
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Part, ...]]
    on_bad: OnBad | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    """Ray's options of the tasks that read: on which nodes."""

    def parts(self, split: str) -> tuple[Part, ...]:
        """The parts of `train`, `validation`, `test` or `all`.

        Raises:
            UserError: the source has no such split.
        """
        if split == "all" or self.splits.get(split):
            return self.splits[split]
        there = [name for name in (*SPLITS, "all") if self.splits.get(name)]
        raise UserError(
            f"{self.data}: no {split} split, only {', '.join(there)}; splits are folders named "
            "train, validation and test, or shards named training.* and eval.*; in training, "
            "--split 80:10:10 divides drawings that have none"
        )

    def dataset(self, split: str, *, origin: bool = False) -> ray.data.Dataset:
        """The drawings of a split, lazily read, in a fixed order: blocks of sketch tables."""
        parts = self.parts(split)
        dataset = ray.data.read_datasource(
            _PartsDatasource(parts, origin, self.on_bad),
            override_num_blocks=len(parts),
            **self.reading,
        )
        dataset.context.target_max_block_size = _BLOCK_BYTES
        dataset.context.execution_options.preserve_order = True
        return dataset

    def count(self, split: str) -> int:
        """How many drawings a split has; counts the files of a cluster's shards in parallel."""
        parts = self.parts(split)
        if all(
            isinstance(part, DemoPart) or (part.format == "parquet" and part.share is None)
            for part in parts
        ):
            return sum(part.count() for part in parts)
        count = ray.remote(lambda part: part.count()).options(**self.reading)
        return sum(ray.get([count.remote(part) for part in parts]))
