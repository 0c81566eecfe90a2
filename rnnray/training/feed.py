"""A worker's batches of one epoch, and the time spent waiting for them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from queue import Queue
from threading import Event, Thread
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError, find_user_error
from rnnray.training.batches import Share
from rnnray.training.faults.watchdog import Pulse
from rnnray.training.task import Task

_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Inputs [rows, ...], targets [rows, ...] and weights float32 [rows], as of `Task.batch`."""

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]


def padded_batch(task: Task, share: Share, rows: int) -> Batch:
    """A share as a batch of `rows` rows; those that do not count have the weight 0.

    One shape means one compiled graph. It is filled up with the share's own rows, which leave the
    statistics of batch normalisation what they are; rows of zeros would shift them.
    """
    inputs, targets, weights = task.batch(share.rows)
    weights[share.counted :] = 0
    if len(inputs) < rows:
        weights = np.concatenate([weights, np.zeros(rows - len(inputs), np.float32)])
        inputs = np.resize(inputs, (rows, *inputs.shape[1:]))
        targets = np.resize(targets, (rows, *targets.shape[1:]))
    return Batch(inputs, targets, weights)


class Feed:
    """The batches of a worker's shares, made ahead by a thread.

    It starts reading when it is made, and ends with the data or when it is closed, as it is at the
    end of a context around it. A `UserError` of the data is kept in `error` instead of
    raised, so that the worker can tell the others, which would wait for its part of the next sum
    forever. Other errors are raised by `take`.
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
        """Let the thread end, at the latest when it has the rows that it is waiting for."""
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

    def idle(self) -> Batch:
        """The last batch without weight: for steps until all workers know that this one failed."""
        assert self._last is not None, "there was no batch"
        return Batch(self._last.inputs, self._last.targets, np.zeros_like(self._last.weights))
