"""What a sweep's pictures and tables know of a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["finished", "stopped", "diverged", "failed", "running"]
Score = tuple[str, Literal["min", "max"]]
"""What the score is, with its unit, and which end is better."""


@dataclass(frozen=True)
class TrialCurve:
    """What one trial of a sweep came to."""

    name: str
    values: Mapping[str, Any]
    """From the path of each searched field, such as optimizer.learning_rate, to its value."""
    scores: Sequence[float]
    """One for each report, from the first; those that are not finite leave a gap."""
    status: Status
    epochs: Sequence[float] = ()
    """Epochs that were done at each report; by default 1, 2, 3, ..."""

    def places(self) -> Sequence[float]:
        """Where each score stands, in epochs."""
        return self.epochs or range(1, len(self.scores) + 1)
