"""A worker of a training run, as the loop sees it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Worker:
    """A worker's place among the others, and its connections to the outside."""

    rank: int
    count: int
    train: Callable[[], Iterable[pa.Table]]
    """This worker's share of one pass over the training data."""
    validation: Callable[[], Iterable[pa.Table]]
    """This worker's share of the validation data; shares may differ in size."""
    tell: Callable[[dict[str, Any]], None]
    """Takes progress of this worker."""
    report: Callable[[dict[str, float], Path | None, str | None], None]
    """Takes metrics, a checkpoint's folder on rank 0, and the checkpoint's name; a barrier."""


class PeerStopped(Exception):  # noqa: N818
    """Another worker met a `UserError`, so that this one stopped at the same step."""
