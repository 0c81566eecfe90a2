"""An opened source of drawings, whose parts a `ray.data.Dataset` streams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
from pyarrow import fs
from ray.data.block import BlockMetadata

from rnnray.bad_records import say_passed_over
from rnnray.errors import OnBad, UserError
from rnnray.sketch.data import class_lists, demo_drawings, formats, sketch_table
from rnnray.sketch.data.ndjson import Drawing
from rnnray.sketch.data.scans import Scan, Share, position_of
from rnnray.splits import SPLITS

# Size of Ray Data's blocks: about 8,000 drawings, so that training starts early and needs little
# memory.
_BLOCK_BYTES = 4 << 20
DEMO_CHUNK = 4096
_GROUP_TABLES = 500


@dataclass(frozen=True)
class DemoPart:
    """A range of the endless sequence of generated drawings."""

    start: int
    length: int

    def tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        """Yield the drawings as sketch tables."""
        del on_bad  # generated drawings are never bad
        for first in range(self.start, self.start + self.length, DEMO_CHUNK):
            count = min(DEMO_CHUNK, self.start + self.length - first)
            rows = sketch_table.from_arrays(
                *demo_drawings.inks(count, seed=0, start=first), demo_drawings.CLASS_NAMES
            )
            if origin:
                rows = sketch_table.with_origin(rows, "demo", np.arange(first, first + count))
            yield rows

    def count(self) -> int:
        """Return the number of drawings."""
        return self.length


@dataclass(frozen=True)
class FilePart:
    """A file of drawings, or the drawings of one split in it."""

    filesystem: fs.FileSystem
    path: str
    format: formats.Format
    class_names: tuple[str, ...]
    labelled: bool
    keep: Share | None = None
    member: str | None = None
    """Name of the file in a zip archive at `path`."""
    own_names: tuple[str, ...] | None = None
    """Class names in the file's own order, if that differs."""
    scan: Scan | None = None
    """Result of one pass over a file with words."""
    share: Share | None = None
    """Share of the drawings without words, by their ink."""
    y_up: bool = False
    """True if y grows upwards in the file; its drawings are turned over."""

    def tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        """Yield the drawings as sketch tables."""
        rows = self._all_tables(origin=origin, on_bad=on_bad)
        if self.share is None:
            return rows
        return (some.filter(pa.array(_in_share(some, self.share))) for some in rows)

    def _all_tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        rows = formats.read_tables(
            self.filesystem,
            self.path,
            self.format,
            self.own_names or self.class_names,
            member=self.member,
            labelled=self.labelled,
            origin=origin,
            keep=self.keep,
            on_bad=on_bad,
        )
        ordered = class_lists.in_order_of(rows, self.class_names)
        yield from map(sketch_table.turned_over, ordered) if self.y_up else ordered

    def drawings(self, on_bad: OnBad = lambda _: None) -> Iterator[Drawing]:
        """Yield the drawings of a file with words; by default without those that are broken."""
        found = formats.read_drawings(
            self.filesystem, self.path, self.format, member=self.member, on_bad=on_bad
        )
        return (drawing for drawing in found if self.keep is None or self.keep(drawing))

    def count(self) -> int:
        """Return the number of drawings."""
        if self.share is not None:
            return sum(map(len, self.tables(origin=False, on_bad=lambda _: None)))
        if self.scan is not None:
            return self.scan.count(self.keep)
        return formats.count_rows(self.filesystem, self.path, self.format, self.keep, self.member)


@dataclass(frozen=True)
class FileGroup:
    """Many small files, such as one a drawing, that are read one after the other."""

    parts: tuple[FilePart, ...]

    def tables(self, *, origin: bool, on_bad: OnBad | None) -> Iterator[pa.Table]:
        """Yield the drawings as sketch tables."""
        tables = (rows for part in self.parts for rows in part.tables(origin=origin, on_bad=on_bad))
        while some := list(islice(tables, _GROUP_TABLES)):
            yield pa.concat_tables(some)

    def count(self) -> int:
        """Return the number of drawings."""
        return sum(part.count() for part in self.parts)


Part = DemoPart | FilePart | FileGroup


def _in_share(rows: pa.Table, share: Share) -> npt.NDArray[np.bool_]:
    """Return which drawings are in a share, by a hash of their ink."""
    chosen = (share.has(position_of(ink)) for ink in sketch_table.inks_of(rows))
    return np.fromiter(chosen, np.bool_, len(rows))


class _PartsDatasource(ray.data.Datasource):  # type: ignore[misc]
    """One read task a part; Ray Data spreads the tasks over the cluster, and each streams."""

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
    passed_over: tuple[str, ...] = ()
    """Files that hold no drawings, by their path below the source."""
    reading: dict[str, Any] = field(default_factory=dict)
    """Ray's options of the reading tasks, such as their nodes."""

    def say_passed_over(self) -> int:
        """Print the names of a few files that hold no drawings; return the number of all."""
        one, several = "1 file that holds no drawings", "files that hold no drawings"
        return say_passed_over(self.passed_over, one, several)

    def parts(self, split: str) -> tuple[Part, ...]:
        """Return the parts of `train`, `validation`, `test` or `all`.

        Raises:
            UserError: the source has no such split.
        """
        if split == "all" or self.splits.get(split):
            return self.splits[split]
        there = [name for name in (*SPLITS, "all") if self.splits.get(name)]
        raise UserError(
            f"{self.data}: no {split} split, only {', '.join(there)}; splits are folders named "
            "train, validation and test, or files named train*, validation*, test* and eval*; in "
            "training, --split 80:10:10 divides drawings that have none"
        )

    def dataset(self, split: str, *, origin: bool = False) -> ray.data.Dataset:
        """Return a split's drawings as blocks of sketch tables, lazily read, in a fixed order."""
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
        """Return the number of drawings of a split; counts shards in parallel on the cluster.

        Raises:
            UserError: the source has no such split, or no drawing in it.
        """
        parts = self.parts(split)
        known = [isinstance(part, DemoPart) or _knows_its_count(part) for part in parts]
        count = ray.remote(lambda part: part.count()).options(**self.reading)
        slow = [count.remote(part) for part, fast in zip(parts, known, strict=True) if not fast]
        total = sum(part.count() for part, fast in zip(parts, known, strict=True) if fast)
        if slow:  # `ray.get` would start a Ray even for an empty list
            total += sum(ray.get(slow))
        if total == 0:
            where = "" if split == "all" else f" in the {split} split; --split all takes every one"
            raise UserError(f"{self.data}: no drawings{where}")
        return int(total)


def _knows_its_count(part: FilePart | FileGroup) -> bool:
    if isinstance(part, FileGroup):
        return all(_knows_its_count(each) for each in part.parts)
    return part.share is None and (part.scan is not None or part.format == "parquet")
