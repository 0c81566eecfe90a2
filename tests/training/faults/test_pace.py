import numpy as np
import pytest

from rnnray.training.faults.pace import Pace, Straggler

LOOK = 8  # steps


class Workers:
    """Workers whose steps take given seconds each, by a clock of the test's."""

    def __init__(self, count: int) -> None:
        self.paces = [Pace(rank, count) for rank in range(count)]
        self.now = 100.0

    def look(self, own: list[float], waited: list[float]) -> list[Straggler | None]:
        """Some steps, in which every worker waits for the slowest; what each hears of it."""
        sums = np.sum([pace.tell() for pace in self.paces], axis=0, dtype=np.float64)
        heard = [pace.hear(sums, self.now) for pace in self.paces]
        times = np.zeros((len(own), LOOK, 2))
        for step in range(LOOK):
            times[:, step, 0] = self.now + np.array(own)
            self.now += max(own)
            times[:, step, 1] = self.now
        for pace, mine, seconds in zip(self.paces, times, waited, strict=True):
            pace.note(mine, LOOK * seconds)
        return heard

    def looks(self, own: list[float], waited: list[float] | None = None, count: int = 20) -> list:
        heard = [self.look(own, waited or [0.0] * len(own)) for _ in range(count)]
        return [news for news in heard if news[0]]


def test_the_slow_worker_is_named_to_all_and_the_waiting_of_the_others_is_not_theirs() -> None:
    ((first, second, third),) = Workers(3).looks([0.05, 0.5, 0.04])
    assert first == second == third
    assert first is not None
    assert first.rank == 1
    assert first.seconds == pytest.approx(0.5, rel=1e-4)
    assert first.others_seconds == pytest.approx(0.045, rel=1e-3)
    assert first.times == pytest.approx(0.5 / 0.045, rel=1e-3)
    assert first.waiting_share == 0


def test_a_worker_that_waits_for_its_data_is_told_from_one_that_computes() -> None:
    ((straggler, _),) = Workers(2).looks([0.5, 0.05], [0.45, 0.0])
    assert straggler is not None
    assert straggler.rank == 0
    assert straggler.waiting_share == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("own", [[0.5, 0.5, 0.5], [0.5, 0.3, 1.0], [0.002, 0.0005]])
def test_workers_that_differ_a_little_are_not_named(own: list[float]) -> None:
    assert Workers(len(own)).looks(own, count=200) == []


def test_a_short_hitch_is_not_named() -> None:
    workers = Workers(2)
    assert workers.looks([0.05, 0.05], count=100) == []
    assert workers.looks([0.05, 0.3], count=1) == []
    assert workers.looks([0.05, 0.05], count=100) == []


def test_a_worker_that_stays_slow_is_named_again_but_not_all_the_time() -> None:
    workers = Workers(2)
    start = workers.now
    times = []
    while workers.now < start + 300:
        if workers.look([0.05, 0.5], [0.0, 0.0])[0]:
            times.append(workers.now - start)
    assert len(times) == 3
    assert times[0] < 30
    assert min(np.diff(times)) > 100


def test_a_checkpoint_of_one_worker_is_not_its_pace() -> None:
    workers = Workers(2)
    for _ in range(40):
        assert workers.look([0.05, 0.05], [0.0, 0.0])[0] is None
        for pace in workers.paces:
            pace.pause()
        workers.now += 5.0
