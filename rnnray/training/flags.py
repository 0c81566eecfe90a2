"""Flags: what the workers tell each other with every step's sums, and so agree on."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

_FLAGS = 3


@dataclass(frozen=True)
class Flags:
    """What a worker says at a step; summed over the workers, how many of them say it."""

    failed: float = 0
    """Its data are bad."""
    checkpoint_due: float = 0
    """It is time for a checkpoint; rank 0 alone says so."""
    leaving: float = 0
    """It was told to leave."""
    paces: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """See `rnnray.training.faults.pace.Pace.tell`; empty for a worker alone."""

    @staticmethod
    def size(workers: int) -> int:
        """Length of `packed` on each of so many workers."""
        return _FLAGS + (2 * workers if workers > 1 else 0)

    def packed(self) -> npt.NDArray[np.float32]:
        """Return float32 [size], which is summed over the workers."""
        return np.array(
            [self.failed, self.checkpoint_due, self.leaving, *self.paces.tolist()], np.float32
        )

    @classmethod
    def of_steps(cls, sums: npt.NDArray[np.float64]) -> Self:
        """Return what the workers said in some steps: the flags of the last one, all the paces.

        Args:
            sums: float64 [steps, size], summed over the workers.
        """
        failed, checkpoint_due, leaving = sums[-1, :_FLAGS].tolist()
        return cls(failed, checkpoint_due, leaving, sums[:, _FLAGS:].sum(0))
