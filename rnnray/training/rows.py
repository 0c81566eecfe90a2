"""The rows of each split that a run trains on, read and mixed once, before training.

The order of a source's files has no effect: rows of files sorted by class are mixed as well as any.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, zip_longest
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray
import ray.data

from rnnray.events import Event, Events, Tell
from rnnray.progress import Every, say

# Bytes that a task that mixes takes in and gives out; it needs three times as much memory.
_MIX_BYTES = 128 << 20
_BLOCK_BYTES = 4 << 20
_SAY_SECONDS = 5.0


@dataclass(frozen=True)
class Blocks:
    """The rows of a split as tables of one schema, in this process or in Ray's object store.

    The object store spills to disk what does not fit into memory, and computes again what was lost
    with a node.
    """

    tables: tuple[Any, ...]
    """Tables, or references to tables; none is empty."""
    counts: tuple[int, ...]
    """Rows of each table."""

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> "Blocks":
        """Return the blocks of tables in this process."""
        filled = tuple(table for table in tables if len(table))
        return cls(filled, tuple(map(len, filled)))

    @property
    def rows(self) -> int:
        """Number of rows of all tables."""
        return sum(self.counts)

    def table(self, index: int) -> pa.Table:
        """Return one of the tables, once it is on this node."""
        table = self.tables[index]
        return ray.get(table) if isinstance(table, ray.ObjectRef) else table

    def fetch(self, indices: Iterable[int]) -> None:
        """Begin to bring some of the tables to this node."""
        references = [t for i in indices if isinstance(t := self.tables[i], ray.ObjectRef)]
        if references:
            ray.wait(references, num_returns=len(references), timeout=0)

    def of_each(self, what: Callable[[pa.Table], Any]) -> list[Any]:
        """Return the results of a function for each table, computed on the table's node."""
        return [
            ray.get(each) if isinstance(each, ray.ObjectRef) else each for each in self._map(what)
        ]

    def mapped(self, change: Callable[[pa.Table], pa.Table]) -> "Blocks":
        """Return the tables that a function makes of each, of as many rows."""
        return Blocks(tuple(self._map(change)), self.counts)

    def _map(self, what: Callable[[pa.Table], Any]) -> list[Any]:
        task = ray.remote(_applied)
        return [
            task.remote(what, table) if isinstance(table, ray.ObjectRef) else what(table)
            for table in self.tables
        ]

    def at_hand(self) -> "Blocks":
        """Return the same rows as tables in this process."""
        return Blocks(tuple(map(self.table, range(len(self.tables)))), self.counts)

    def stored(self) -> "Blocks":
        """Return the same rows in Ray's object store, where the processes of a node share them."""
        tables = (t if isinstance(t, ray.ObjectRef) else ray.put(t) for t in self.tables)
        return Blocks(tuple(tables), self.counts)


@dataclass(frozen=True)
class TrainingData:
    """The rows that a task's `batch` takes."""

    training: Blocks
    """The rows to train on."""
    validation: Blocks
    """The rows that select the best checkpoint."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """Description of the data as plain values; a run goes on only with the same."""

    @classmethod
    def of(cls, training: pa.Table, validation: pa.Table) -> "TrainingData":
        """Return the data of two tables in this process."""
        return cls(Blocks.of([training]), Blocks.of([validation]))


def read(dataset: ray.data.Dataset, what: str) -> Blocks:
    """Read Ray Data into the object store, once for all epochs and workers.

    Args:
        dataset: blocks of Arrow rows.
        what: name of the rows for progress: "train drawings".

    Raises:
        Exception: the data are bad: Ray's own error around a `UserError`.
    """
    rows, due = 0, Every(_SAY_SECONDS)

    def count(event: Event) -> None:
        nonlocal rows
        rows += event.get("rows", 0)
        if due():
            say(f"reading {what}: {rows:,}")

    with Events(count) as events:
        dataset = dataset.map_batches(
            _Counted(events.tell), batch_size=None, batch_format="pyarrow", zero_copy_batch=True
        )
        references = dataset.materialize().to_arrow_refs()
    counts = Blocks(tuple(references), ()).of_each(len)
    filled = [index for index, count in enumerate(counts) if count]
    return Blocks(tuple(references[i] for i in filled), tuple(counts[i] for i in filled))


def mixed(blocks: Blocks, seed: int, what: str = "rows") -> Blocks:
    """Return the same rows in other blocks, each a random sample of all rows.

    A task permutes each group of blocks and cuts it into new blocks. The groups of the next round
    take a new block from each of many old groups, until every row can come anywhere. So memory is
    bounded, and time is proportional to the rows. (`Dataset.random_shuffle` holds a reference for
    every pair of blocks: 45 million for the 50 million drawings of Quick, Draw!.)

    Args:
        blocks: rows; the result depends on them, on their order and on the seed alone.
        seed: seed of the permutations.
        what: name of the rows for progress.
    """
    sizes = blocks.of_each(lambda table: table.nbytes)
    groups = max(1, math.ceil(sum(sizes) / _MIX_BYTES))
    rounds = 1 + math.ceil(math.log(groups, _MIX_BYTES // _BLOCK_BYTES))
    pieces = [_Piece(*each) for each in zip(blocks.tables, blocks.counts, sizes, strict=True)]
    pieces = [pieces[i] for i in np.random.default_rng((seed, rounds)).permutation(len(pieces))]
    for number in range(1, rounds + 1):
        made = [
            _permuted_group(group, (seed, number, index))
            for index, group in enumerate(_groups(pieces), 1)
        ]
        _wait([piece.table for group in made for piece in group], f"mixing {what}")
        across = chain.from_iterable(zip_longest(*made))
        pieces = [piece for piece in across if piece is not None]
    return Blocks(tuple(piece.table for piece in pieces), tuple(piece.rows for piece in pieces))


class _Counted:
    """Tells the number of rows of each table that passes."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __call__(self, rows: pa.Table) -> pa.Table:
        self._tell({"kind": "read", "rows": len(rows)})
        return rows


class _Piece(NamedTuple):
    table: Any
    rows: int
    size: int  # bytes, about


def _groups(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    size = 0
    for piece in pieces:
        if group and size + piece.size > _MIX_BYTES:
            yield group
            group, size = [], 0
        group.append(piece)
        size += piece.size
    if group:
        yield group


def _permuted_group(group: Sequence[_Piece], seed: tuple[int, ...]) -> list[_Piece]:
    rows, size = sum(piece.rows for piece in group), sum(piece.size for piece in group)
    count = min(rows, max(1, round(size / _BLOCK_BYTES)))
    tables = [piece.table for piece in group]
    if isinstance(tables[0], ray.ObjectRef):
        # Spread: a task's results take memory, and then disk, of the node that it runs on.
        task = ray.remote(_permuted).options(num_returns=count, scheduling_strategy="SPREAD")
        made = task.remote(seed, count, *tables)
    else:
        made = _permuted(seed, count, *tables)
    starts = [rows * i // count for i in range(count + 1)]
    return [
        _Piece(table, end - start, size // count)
        for table, (start, end) in zip(made if count > 1 else [made], pairwise(starts), strict=True)
    ]


def _permuted(seed: tuple[int, ...], count: int, *tables: pa.Table) -> Any:
    """Return the rows of tables, permuted and cut into a list of tables; one table for count 1."""
    whole = pa.concat_tables(tables).combine_chunks()
    rows = len(whole)
    whole = whole.take(np.random.default_rng(seed).permutation(rows))
    starts = [rows * i // count for i in range(count + 1)]
    made = [whole.slice(start, end - start) for start, end in pairwise(starts)]
    return made if count > 1 else made[0]


def _applied(what: Callable[[pa.Table], Any], table: pa.Table) -> Any:
    return what(table)


def _wait(tables: Sequence[Any], doing: str) -> None:
    """Wait until tasks are done, and say the share that is; raises what they raised."""
    waiting = [table for table in tables if isinstance(table, ray.ObjectRef)]
    count = len(waiting)
    while waiting:
        # `num_returns` asks for all of them, so that `timeout` alone ends the wait.
        _, waiting = ray.wait(
            waiting, num_returns=len(waiting), timeout=_SAY_SECONDS, fetch_local=False
        )
        if waiting:
            say(f"{doing}: {1 - len(waiting) / count:.0%}")
