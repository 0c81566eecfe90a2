"""A worker of a training run, as the loop sees it."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnray.errors import UserError
from rnnray.training.faults.patient_files import Save, saved_in_temporary
from rnnray.training.faults.watchdog import Pulse
from rnnray.training.rows import Blocks


@dataclass(frozen=True)
class Worker:
    """A worker's place among the others, and its connections to the outside."""

    rank: int
    count: int
    training: Blocks
    """The training data of all workers."""
    validation: Blocks
    """The validation data of all workers."""
    tell: Callable[[dict[str, Any]], None]
    """Takes progress of this worker."""
    report: Callable[[dict[str, float], Path | None, str | None], None]
    """Takes metrics, a checkpoint's folder on rank 0, and the checkpoint's name; a barrier."""
    saved: Callable[[Save], AbstractContextManager[Path]] = saved_in_temporary
    """Saves a checkpoint, for `report`; rank 0 alone."""
    told_to_leave: Callable[[], bool] = lambda: False
    """Whether this worker will be taken away soon; asked at every step."""
    pulse: Pulse = field(default_factory=Pulse)
    """Where this worker notes what it does, for a watchdog."""


class PeerStopped(Exception):  # noqa: N818
    """Another worker met a `UserError`, so that this one stopped at the same step."""


class Leaving(Exception):  # noqa: N818
    """A worker was told to leave: all stopped behind the same step, and a checkpoint."""


def raise_failure(error: UserError | None, workers_that_failed: float) -> None:
    """Raise this worker's error, or `PeerStopped` where another one has one."""
    if error is not None:
        raise error
    if workers_that_failed:
        raise PeerStopped


def resident_mib() -> float:
    """Resident memory of this process alone, without what it shares as Ray's object store, MiB."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE") / 2**20
