"""What the workers say with a step arrives as they said it."""

import numpy as np
import pytest

from rnnray.training.faults.watchdog import Pace
from rnnray.training.worker import Flags


@pytest.mark.parametrize("workers", [1, 3])
def test_of_several_steps_the_last_flags_hold_and_no_pace_is_lost(workers: int) -> None:
    steps = np.zeros((4, Flags.size(workers)))
    for step in range(4):
        for rank in range(workers):
            paces = np.zeros(0)
            if workers > 1:
                pace = Pace(rank, workers)
                pace.note(np.array([[1.0, 1.0], [1.0 + rank + step, 9.0]]), 0.0)
                paces = pace.tell()
            failed = float(rank == 0 and step < 3)
            steps[step] += Flags(failed, checkpoint_due=step, leaving=1, paces=paces).packed()
    agreed = Flags.of_steps(steps)
    assert (agreed.failed, agreed.checkpoint_due, agreed.leaving) == (0, 3 * workers, workers)
    if workers == 1:
        assert len(agreed.paces) == 0
    else:
        assert agreed.paces.reshape(3, 2)[:, 0].tolist() == [6, 10, 14]
