"""The batches of an epoch, the same on any number of workers: shares, padding, feed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from queue import Queue
from threading import Event, Thread
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.errors import UserError, find_user_error
from rnnray.training.faults.faulty_task import checked_batch, mapped
from rnnray.training.faults.watchdog import Pulse
from rnnray.training.rows import Blocks
from rnnray.training.task import Arrays, Task


class Share(NamedTuple):
    """A worker's part of a batch."""

    rows: pa.Table
    """At least one row."""
    counted: int
    """Number of rows that count, from the first on: all, or 0 where the one row only fills up."""


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

    The blocks are put in an order, a few at a time are pooled, and the rows of each pool are
    permuted. This sequence of rows is the same for all workers, and every `batch_rows` of it are a
    batch. So an epoch can go on after any batch, on another number of workers too.

    Args:
        blocks: the rows to train on; unless they are mixed, sorted rows stay together.
        batch_rows: rows of a batch, over all workers; the last batch has the rest.
        pool_rows: least number of rows that are permuted together; 0 for the order of the blocks.
        seed: the same seed gives the same batches.
        first: number of the first batch, from 0; rows before it are not read.
        rank: this worker, from 0.
        workers: number of workers; their shares of a batch differ by one row at most.
    """
    order = list(range(len(blocks.tables)))
    if pool_rows:
        np.random.default_rng((*seed, 0)).shuffle(order)
    pools = _pools(order, blocks.counts, pool_rows)
    begun: list[pa.Table] = []  # the first part of a share that lies in two pools
    start = 0
    for number, pool in enumerate(pools, 1):
        size = sum(blocks.counts[index] for index in pool)
        end = start + size
        batches = range(max(start // batch_rows, first), -(-end // batch_rows))
        if batches:
            if number < len(pools):
                blocks.fetch(pools[number])
            mixed = np.arange(size)
            if pool_rows:
                np.random.default_rng((*seed, number)).shuffle(mixed)
            shares = [
                _share(
                    batch * batch_rows,
                    min(batch_rows, blocks.rows - batch * batch_rows),
                    rank,
                    workers,
                )
                for batch in batches
            ]
            within = [
                slice(*np.clip([share.start, share.stop], start, end) - start) for share in shares
            ]
            rows = _rows(blocks, pool, np.concatenate([mixed[part] for part in within]))
            at = 0
            for share, part in zip(shares, within, strict=True):
                length = part.stop - part.start
                begun.append(rows.slice(at, length))
                at += length
                if start < share.stop <= end:
                    yield Share(pa.concat_tables(begun), share.counted)
                    begun = []
        start = end


class _Span(NamedTuple):
    """Position of a worker's rows of a batch in the epoch's sequence of rows."""

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


_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Inputs [rows, ...], targets [rows, ...] and weights float32 [rows], as of `Task.batch`."""

    inputs: Arrays
    targets: Arrays
    weights: npt.NDArray[np.float32]


def padded_batch(task: Task, share: Share, rows: int) -> Batch:
    """Return a share as a batch of `rows` rows, in which rows that do not count have weight 0.

    One shape means one compiled graph. The share's own rows fill it up, since rows of zeros would
    shift the statistics of batch normalisation.

    Args:
        task: makes a batch of rows.
        share: the rows.
        rows: number of rows of the batch, not less than the share has.

    Raises:
        UserError: see `rnnray.training.faults.faulty_task.checked_batch`.
    """
    inputs, targets, weights = checked_batch(task, share.rows)
    weights[share.counted :] = 0
    if len(weights) < rows:
        weights = np.concatenate([weights, np.zeros(rows - len(weights), np.float32)])
        inputs, targets = (
            mapped(each, lambda array: _filled(array, rows)) for each in (inputs, targets)
        )
    return Batch(inputs, targets, weights)


def _filled(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    return np.resize(array, (rows, *array.shape[1:]))


class Feed:
    """The batches of a worker's shares, made ahead by a thread.

    It starts to read when it is made, and ends with the data or when it is closed; as a context it
    closes itself. A `UserError` of the data is not raised but stored in `error`: the worker must
    tell the others first, which would wait for its part of the next sum forever. `take` raises all
    other errors.

    Args:
        task: makes batches of rows.
        shares: returns the worker's shares in order; called by the thread.
        padded_rows: number of rows of each batch.
        pulse: hears that this worker waits for data.
    """

    def __init__(
        self,
        task: Task,
        shares: Callable[[], Iterable[Share]],
        *,
        padded_rows: int,
        pulse: Pulse | None = None,
    ) -> None:
        self.error: UserError | None = None
        self.waited_seconds = 0.0
        self._last: Batch | None = None
        self._ahead: Queue[Batch | BaseException | None] = Queue(_BATCHES_AHEAD)
        self._closed = Event()
        self._pulse = pulse or Pulse()

        def read() -> None:
            try:
                for share in takewhile(lambda _: not self._closed.is_set(), shares()):
                    self._put(padded_batch(task, share, padded_rows))
                self._put(None)
            except BaseException as error:  # taken over by the thread that trains
                self._put(error)

        Thread(target=read, daemon=True, name="feed").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the thread end, at the latest when the rows that it is waiting for have come."""
        self._closed.set()
        while not self._ahead.empty():  # room for the batch that it is putting there
            self._ahead.get_nowait()

    def _put(self, batch: Batch | BaseException | None) -> None:
        if not self._closed.is_set():
            self._ahead.put(batch)

    def take(self) -> Batch | None:
        """Return the next batch; None after the last one, or where it cannot be read (see `error`).

        Not to be called again after None.
        """
        started = time.monotonic()
        with self._pulse.doing("waiting for its data"):
            batch = self._ahead.get()
        self.waited_seconds += time.monotonic() - started
        if isinstance(batch, BaseException):
            self.error = find_user_error(batch)
            if self.error is None:
                raise batch
            return None
        self._last = batch or self._last
        return batch

    def idle(self) -> Batch:
        """Return the last batch with weight 0, for steps until all workers know of the error."""
        assert self._last is not None, "there was no batch"
        return Batch(self._last.inputs, self._last.targets, np.zeros_like(self._last.weights))
