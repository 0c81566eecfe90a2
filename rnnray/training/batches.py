"""The batches of an epoch: the same ones on any number of workers, of which each takes its part."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.training.rows import Blocks


class Share(NamedTuple):
    """A worker's part of a batch."""

    rows: pa.Table
    """At least one row."""
    counted: int
    """How many of the rows count, from the first on: all, or none of one."""


def epoch_batches(
    blocks: Blocks,
    *,
    batch_rows: int,
    pool_rows: int = 0,
    seed: tuple[int, ...] = (),
    first: int = 0,
    rank: int = 0,
    workers: int = 1,
) -> Iterator[Share]:
    """Yield a worker's share of each batch of an epoch.

    The blocks are put in an order, some at a time are pooled, and the rows of the pool permuted;
    of this sequence of rows, which is the same for all workers, every `batch_rows` are a batch.
    So an epoch can go on after any batch, on another number of workers too.

    Args:
        blocks: what to train on; mixed, or whatever is sorted in them stays together.
        batch_rows: rows of a batch, over all workers; the last one has what is left.
        pool_rows: rows that are permuted together, at least; 0 for the order of the blocks.
        seed: the same seed gives the same batches.
        first: the first batch, from 0; what lies before it is not read.
        rank: this worker, from 0.
        workers: number of workers; their shares of a batch differ by one row at most.
    """
    order = list(range(len(blocks.tables)))
    if pool_rows:
        np.random.default_rng((*seed, 0)).shuffle(order)
    pools = _pools(order, blocks.counts, pool_rows)
    begun: list[pa.Table] = []  # of a share that lies in two pools
    start = 0
    for number, pool in enumerate(pools, 1):
        size = sum(blocks.counts[index] for index in pool)
        end = start + size
        batches = range(max(start // batch_rows, first), -(-end // batch_rows))
        if batches:
            if number < len(pools):
                blocks.fetch(pools[number])
            place = np.arange(size)
            if pool_rows:
                np.random.default_rng((*seed, number)).shuffle(place)
            shares = [
                _share(
                    batch * batch_rows,
                    min(batch_rows, blocks.rows - batch * batch_rows),
                    rank,
                    workers,
                )
                for batch in batches
            ]
            here = [
                slice(*np.clip([share.start, share.stop], start, end) - start) for share in shares
            ]
            rows = _rows(blocks, pool, np.concatenate([place[part] for part in here]))
            at = 0
            for share, part in zip(shares, here, strict=True):
                length = part.stop - part.start
                begun.append(rows.slice(at, length))
                at += length
                if start < share.stop <= end:
                    yield Share(pa.concat_tables(begun), share.counted)
                    begun = []
        start = end


class _Span(NamedTuple):
    """Where a worker's rows of a batch are in the epoch's sequence of rows."""

    start: int
    stop: int
    counted: int


def _share(start: int, rows: int, rank: int, workers: int) -> _Span:
    low, high = start + rows * rank // workers, start + rows * (rank + 1) // workers
    return _Span(low, high, high - low) if low < high else _Span(start, start + 1, 0)


def _pools(order: Sequence[int], counts: Sequence[int], pool_rows: int) -> list[list[int]]:
    pools: list[list[int]] = []
    have = pool_rows
    for index in order:
        if have >= pool_rows:
            pools.append([])
            have = 0
        pools[-1].append(index)
        have += counts[index]
    return pools


def _rows(blocks: Blocks, pool: Sequence[int], rows: npt.NDArray[np.int64]) -> pa.Table:
    return pa.concat_tables([blocks.table(index) for index in pool]).combine_chunks().take(rows)
