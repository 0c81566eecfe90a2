"""The course of a trial, for a sweep's plots and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["finished", "stopped", "diverged", "failed", "running"]
Score = tuple[str, Literal["min", "max"]]
"""Name of the score with its unit, and the better end."""


@dataclass(frozen=True)
class TrialCurve:
    """The values, scores and status of one trial."""

    name: str
    values: Mapping[str, Any]
    """From the path of each searched field, such as optimizer.learning_rate, to its value."""
    scores: Sequence[float]
    """Score of each report, from the first; a score that is not finite leaves a gap."""
    status: Status
    epochs: Sequence[float] = ()
    """Epochs done at each report; by default 1, 2, 3, ..."""

    def at_epochs(self) -> Sequence[float]:
        """Return the position of each score, in epochs."""
        return self.epochs or range(1, len(self.scores) + 1)
