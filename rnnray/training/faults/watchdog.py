"""Workers that keep the others waiting: a slow one is named; if one is stuck, all start again.

When a file system hangs under one worker, or a collective operation never ends, all workers wait
and none of them fails. A thread of each worker tells an actor on the driver's node how far its
worker is. When none has moved for many times the usual time of a step, the actor says so in its
answer. Then all workers tell the driver their stacks and exit, and the group starts again as after
any failure. The first steps of a run have no usual time yet: a long stop is told, with the stacks,
and nothing ends. Those of a group that has started again get the time that the group before took.
"""

import math
import os
import sys
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from rnnray import cluster
from rnnray.training.faults.patient_files import PATIENCE

_WINDOW_SECONDS, _WINDOW_STEPS = 15.0, 16  # least of both: a short hitch makes no straggler
_SLOW = 3.0  # times the others' time
_WORTH_SECONDS = 0.005  # a step, beyond the others' time: less is noise of tiny steps
_QUIET_SECONDS = 120.0  # from one line about a worker to the next

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Straggler:
    """A worker that is slower than the others."""

    rank: int
    times: float
    """Its time as a multiple of the others'."""
    seconds: float
    """Its time of a step, without the wait for other workers."""
    others_seconds: float
    """Median of the others' time."""
    waiting_share: float
    """Share of `seconds` in which it waited for its data."""


class Pace:
    """The time of each worker from the end of one sum over the workers to the start of the next.

    Whole steps take the same time on all workers, since each sum waits for the slowest. Each
    worker's own time travels with the sums, so that every worker knows those of all.

    Args:
        rank: this worker's rank.
        workers: number of workers.
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
        """Note that the time until the next step is no part of a step."""
        self._left = None

    def note(self, times: Floats, waited: float) -> None:
        """Take this worker's own steps since the last call.

        Args:
            times: float64 [steps, 2], seconds of its clock: when it reached the sum of each step,
                and when the sum was done.
            waited: seconds of these in which it waited for data.
        """
        before = times[:-1, 1] if self._left is None else np.r_[self._left, times[:-1, 1]]
        own = times[len(times) - len(before) :, 0] - before
        self._left = float(times[-1, 1])
        self._unsent += own.sum(), min(waited, own.sum())
        self._unsent_steps += len(own)

    def tell(self) -> npt.NDArray[np.float32]:
        """Return what this worker adds to the next sum: float32 [2 * workers], each time once."""
        paces = np.zeros((self._workers, 2), np.float32)
        paces[self._rank] = self._unsent
        self._unsent[:] = 0
        self._sent_steps, self._unsent_steps = self._sent_steps + self._unsent_steps, 0
        return paces.ravel()

    def hear(self, sums: Floats, now: float | None = None) -> Straggler | None:
        """Take the sum of what all workers tell; return the slow worker if there is news of one.

        All workers get the same answer, except for the difference of their clocks.
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


WAITS, STEPS, STORES = "waiting for the other workers", "computing a step", "storing a checkpoint"
_USUAL_STEPS = 16  # at least, before there is a usual time
_FRAMES = 12  # innermost of each thread
_BEAT_SECONDS = 5.0  # between two beats, or less where the limit is short

P = ParamSpec("P")
R = TypeVar("R")


class Pulse:
    """A worker's notes of what it is doing, which another thread may read."""

    def __init__(self) -> None:
        self.moves = 0
        """A number that grows with each thing that the worker begins or ends."""
        self.arrived: Callable[[], int] | None = None
        """Returns the number of steps of which this worker's part of the sum is computed."""
        self._doing, self._steps = "between two steps", 0
        self._last: float | None = None
        self._times: deque[float] = deque(maxlen=64)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Note that the worker does this within the context."""
        before, self._doing = self._doing, what
        self.moves += 1
        try:
            yield
        finally:
            self._doing = before
            self.moves += 1

    def around(self, what: str, call: Callable[P, R]) -> Callable[P, R]:
        """Return the function within such a context."""

        def within(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.doing(what):
                return call(*args, **kwargs)

        return within

    def pause(self) -> None:
        """Note that the time until the next step is no part of a step."""
        self._last = None

    def begin_step(self) -> None:
        """Note the start of a step."""
        now = time.monotonic()
        if self._last is not None:
            self._times.append(now - self._last)
        self._last = now
        self._steps += 1

    def what(self) -> str:
        """Return what the worker is doing."""
        doing = self._doing
        if doing == STEPS and self.arrived is not None and self.arrived() >= self._steps:
            return WAITS
        return doing

    def limit(self, times: float, seconds: float) -> float:
        """Return the seconds that the worker may do the same; see `RunOptions.stuck_times`."""
        if len(self._times) < _USUAL_STEPS:
            return float("inf")
        limit = max(seconds, times * sum(self._times) / len(self._times))
        return max(limit, 2 * PATIENCE) if self._doing == STORES else limit


@dataclass(frozen=True)
class Beat:
    """Progress of a worker."""

    process: str
    """Identity of the process: another one after each start."""
    rank: int
    node: str
    moves: int
    doing: str
    limit: float
    """Seconds that it may do this."""


@dataclass(frozen=True)
class Verdict:
    """What is stuck."""

    line: str
    ends: bool
    """Whether the group is to end, and to start again."""


class Watchdog:
    """Takes the beats of a run's workers, and finds the moment when none of them moves.

    Args:
        seconds: see `Watch.seconds`.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._beats: dict[int, Beat] = {}
        self._heard: dict[int, float] = {}
        self._began = self._moved = 0.0
        self._first_limit = math.inf  # of a group's first steps, after the first group's
        self._verdict: Verdict | None = None

    def hear(self, beat: Beat, now: float | None = None) -> Verdict | None:
        """Take a beat; return what is stuck, None while nothing is.

        Args:
            beat: a worker's beat.
            now: the time, seconds of any clock.
        """
        now = time.monotonic() if now is None else now
        before = self._beats.get(beat.rank)
        if before is not None and before.process != beat.process:  # the group has started again
            self._beats.clear()
            self._verdict = None
            before = None
        if not self._beats:
            self._began = now
        if before is None or before.moves != beat.moves:
            self._moved = now
            if self._verdict and not self._verdict.ends:
                self._verdict = None
        self._beats[beat.rank], self._heard[beat.rank] = beat, now
        limit = max(each.limit for each in self._beats.values())
        if math.isinf(limit):
            limit = self._first_limit
        elif math.isinf(self._first_limit):
            self._first_limit = limit + 2 * (now - self._began)
        ends = not math.isinf(limit)
        if not ends:
            limit = self._seconds
        if self._verdict is None and now - self._moved > limit:
            self._verdict = self._judge(now, limit, ends)
        return self._verdict

    def _judge(self, now: float, limit: float, ends: bool) -> Verdict:
        found = []
        for rank, beat in sorted(self._beats.items()):
            silent = now - self._heard[rank]
            if silent > limit / 2:
                found.append(f"worker {rank} on {beat.node} is stuck: silent for {silent:.0f} s")
            elif beat.doing != WAITS:
                found.append(f"worker {rank} on {beat.node} is stuck: {beat.doing}")
        stuck = "; ".join(found) or "all workers wait for one another: a collective never ends"
        first = (
            "" if ends else " in the first steps (nothing is ended: their usual time is unknown)"
        )
        return Verdict(f"no worker moved for {now - self._moved:.0f} s{first}: {stuck}", ends)


@dataclass(frozen=True)
class Watch:
    """Connections by which a worker is watched."""

    hear: Callable[[Beat], Verdict | None]
    """`Watchdog.hear` of a watchdog in this process or another one."""
    times: float
    """See `RunOptions.stuck_times`."""
    seconds: float
    """Least number of seconds without a move before a worker is stuck."""

    @contextmanager
    def over(
        self, pulse: Pulse, rank: int, node: str, tell: Callable[[dict[str, Any]], None]
    ) -> Iterator[None]:
        """Watch over this worker within the context; end the process if its group is stuck.

        Args:
            pulse: this worker's pulse.
            rank: its rank.
            node: its node, for people.
            tell: takes events {"kind": "stuck", "verdict": line, "stacks": lines}.
        """
        process = uuid.uuid4().hex
        pause = min(_BEAT_SECONDS, self.seconds / 4)
        over = threading.Event()

        def watch() -> None:
            told = ends = False
            while not ends:
                if over.wait(pause):
                    return
                limit = pulse.limit(self.times, self.seconds)
                beat = Beat(process, rank, node, pulse.moves, pulse.what(), limit)
                try:
                    verdict = self.hear(beat)
                except ActorUnavailableError:  # for now: the next beat may reach it
                    continue
                except RayActorError:  # its run is over
                    return
                if verdict and (verdict.ends or not told):
                    tell({"kind": "stuck", "verdict": verdict.line, "stacks": stacks()})
                    told, ends = True, verdict.ends
            time.sleep(2 * pause)  # the others tell their stacks before the group ends
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="watchdog").start()
        try:
            yield
        finally:
            over.set()


@contextmanager
def on_guard(times: float, seconds: float) -> Iterator[Watch | None]:
    """Run a watchdog on this node within the context; None where `times` is 0.

    Args:
        times: see `RunOptions.stuck_times`.
        seconds: see `Watch.seconds`.
    """
    if not times:
        yield None
        return
    actor = ray.remote(num_cpus=0, scheduling_strategy=cluster.on_this_node())(Watchdog).remote(
        seconds
    )
    try:
        yield Watch(partial(_hear_there, actor), times, seconds)
    finally:
        ray.kill(actor)


def _hear_there(watchdog: Any, beat: Beat) -> Verdict | None:
    verdict: Verdict | None = ray.get(watchdog.hear.remote(beat))
    return verdict


def stacks() -> list[str]:
    """Return lines that say where each thread of this process is, except the calling one."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        lines.append(f"thread {names.get(ident, ident)}")
        for entry in traceback.extract_stack(frame)[-_FRAMES:]:
            lines.append(f"    {entry.filename}:{entry.lineno} in {entry.name}")
    return lines
