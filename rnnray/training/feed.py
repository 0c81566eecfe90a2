"""A worker's batches of one epoch, and the time spent waiting for them."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from queue import Queue
from threading import Event, Thread
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.errors import UserError, find_user_error
from rnnray.training.batches import shuffled_batches
from rnnray.training.task import Task
from rnnray.training.watchdog import Pulse

_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Inputs [rows, ...], targets [rows, ...] and weights float32 [rows], as of `Task.batch`."""

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]


def padded_batch(task: Task, table: pa.Table, rows: int) -> Batch:
    """The rows of a table as a batch of `rows` rows; those that fill it up have the weight 0.

    One shape means one compiled graph. It is filled up with the table's own rows, which leave the
    statistics of batch normalisation what they are; rows of zeros would shift them.
    """
    inputs, targets, weights = task.batch(table)
    if len(inputs) < rows:
        weights = np.concatenate([weights, np.zeros(rows - len(inputs), np.float32)])
        inputs = np.resize(inputs, (rows, *inputs.shape[1:]))
        targets = np.resize(targets, (rows, *targets.shape[1:]))
    return Batch(inputs, targets, weights)


class Feed:
    """The batches of one pass over a worker's data, made ahead by a thread.

    It starts reading when it is made, and ends with the data or when it is closed, as it is at the
    end of a context around it. A `UserError` of the data is kept in `error` instead of
    raised, so that the worker can tell the others, which would wait for its part of the next sum
    forever. Other errors are raised by `take`.
    """

    def __init__(
        self,
        task: Task,
        tables: Callable[[], Iterable[pa.Table]],
        *,
        rows: int,
        padded_rows: int,
        pool_rows: int = 0,
        seed: tuple[int, ...] = (),
        skip: int = 0,
        pulse: Pulse | None = None,
    ) -> None:
        self.error: UserError | None = None
        self.waited_seconds = 0.0
        self._last: Batch | None = None
        self._ahead: Queue[Batch | BaseException | None] = Queue(_BATCHES_AHEAD)
        self._closed = Event()
        self._pulse = pulse or Pulse()

        def until_closed(found: Iterable[pa.Table]) -> Iterator[pa.Table]:
            return takewhile(lambda _: not self._closed.is_set(), found)

        def read() -> None:
            try:
                shuffled = shuffled_batches(until_closed(tables()), rows, pool_rows, seed)
                batches = until_closed(shuffled)
                for table in deque(islice(batches, skip), maxlen=1):
                    self._last = padded_batch(task, table, padded_rows)
                for table in batches:
                    self._put(padded_batch(task, table, padded_rows))
                self._put(None)
            except BaseException as error:  # taken over by the thread that trains
                self._put(error)

        Thread(target=read, daemon=True, name="feed").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the thread end, at the latest when it has the table that it is waiting for."""
        self._closed.set()
        while not self._ahead.empty():  # room for what it is putting there just now
            self._ahead.get_nowait()

    def _put(self, batch: Batch | BaseException | None) -> None:
        if not self._closed.is_set():
            self._ahead.put(batch)

    def take(self) -> Batch | None:
        """The next batch; None when there is no more, or when it cannot be read (see `error`).

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

    @property
    def had_rows(self) -> bool:
        """Whether there were any rows, skipped ones too; to be asked behind `take`."""
        return self._last is not None

    def idle(self) -> Batch:
        """The last batch without weight, be it one that was skipped: for a worker that has no more
        while others have.
        """
        assert self._last is not None, "there were no rows"
        return Batch(self._last.inputs, self._last.targets, np.zeros_like(self._last.weights))
