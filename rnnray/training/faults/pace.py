"""Which worker keeps the others waiting."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_WINDOW_SECONDS, _WINDOW_STEPS = 15.0, 16  # both at least: a short hitch of a worker is none
_SLOW = 3.0  # times as long as the others
_WORTH_SECONDS = 0.005  # more than the others, a step: less is noise of tiny steps
_QUIET_SECONDS = 120.0  # from one line about a worker to the next

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Straggler:
    """A worker that is slower than the others."""

    rank: int
    times: float
    """How many times as long it takes."""
    seconds: float
    """A step, without the waiting for other workers."""
    others_seconds: float
    """The same of the others: their median."""
    waiting_share: float
    """Share of `seconds` in which it waited for its data."""


class Pace:
    """How long each worker takes from the end of one sum over the workers to the next one's begin.

    Steps themselves take equally long on all workers, since each sum waits for the last. Each
    worker's own time travels with the sums, so that all know of all.

    Args:
        rank: of this worker.
        workers: how many there are.
    """

    def __init__(self, rank: int, workers: int) -> None:
        self._rank, self._workers = rank, workers
        self._left: float | None = None
        self._unsent = np.zeros(2)
        self._unsent_steps = self._sent_steps = 0
        self._window = np.zeros((workers, 2))
        self._began: float | None = None
        self._told: float | None = None

    def pause(self) -> None:
        """What comes now is no part of a step."""
        self._left = None

    def note(self, times: Floats, waited: float) -> None:
        """Take this worker's own steps since the last call.

        Args:
            times: float64 [steps, 2], when it came to the sum of each step and when that was done,
                seconds of its clock.
            waited: seconds that it waited for data meanwhile.
        """
        before = times[:-1, 1] if self._left is None else np.r_[self._left, times[:-1, 1]]
        own = times[len(times) - len(before) :, 0] - before
        self._left = float(times[-1, 1])
        self._unsent += own.sum(), min(waited, own.sum())
        self._unsent_steps += len(own)

    def tell(self) -> npt.NDArray[np.float32]:
        """What this worker adds to the next sum: float32 [2 * workers], not zero only once."""
        paces = np.zeros((self._workers, 2), np.float32)
        paces[self._rank] = self._unsent
        self._unsent[:] = 0
        self._sent_steps, self._unsent_steps = self._sent_steps + self._unsent_steps, 0
        return paces.ravel()

    def hear(self, sums: Floats, now: float | None = None) -> Straggler | None:
        """Take the sum of what all workers tell; the slow worker, when there is news of one.

        All workers get the same answer, but for their clocks.
        """
        now = time.monotonic() if now is None else now
        self._window += sums.reshape(self._workers, 2)
        if self._began is None:
            self._began = now
        if now - self._began < _WINDOW_SECONDS or self._sent_steps < _WINDOW_STEPS:
            return None
        straggler = self._slowest(self._window / self._sent_steps)
        self._window[:], self._sent_steps, self._began = 0, 0, now
        if straggler is None or (self._told and now - self._told < _QUIET_SECONDS):
            return None
        self._told = now
        return straggler

    def _slowest(self, means: Floats) -> Straggler | None:
        rank = int(means[:, 0].argmax())
        seconds, waited = means[rank].tolist()
        others = max(float(np.median(np.delete(means[:, 0], rank))), 1e-4)
        if seconds < _SLOW * others or seconds - others < _WORTH_SECONDS:
            return None
        return Straggler(rank, seconds / others, seconds, others, waited / seconds)
