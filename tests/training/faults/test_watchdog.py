"""Which worker counts as slow, when a group counts as stuck, and who is named; real hangs are in
tests/cluster.
"""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from rnnray.training.faults.watchdog import (
    STEPS,
    STORES,
    WAITS,
    Beat,
    Pace,
    Pulse,
    Straggler,
    Verdict,
    Watch,
    Watchdog,
    stacks,
)

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


BEAT = Beat("first", 0, "10.0.0.1", 5, WAITS, 60)
OTHER = Beat("second", 1, "10.0.0.2", 5, "waiting for its data", 60)


def test_a_group_is_stuck_when_no_worker_has_moved_and_the_one_that_others_wait_for_is_named() -> (
    None
):
    watchdog = Watchdog(30)
    for now in range(0, 60, 5):
        assert watchdog.hear(BEAT, now) is None
        assert watchdog.hear(replace(OTHER, moves=now // 30), now) is None
    for now in range(60, 90, 5):
        assert watchdog.hear(BEAT, now) is None
        assert watchdog.hear(replace(OTHER, moves=1), now) is None
    verdict = watchdog.hear(BEAT, 91)
    assert verdict == Verdict(
        "no worker moved for 61 s: worker 1 on 10.0.0.2 is stuck: waiting for its data", ends=True
    )
    assert watchdog.hear(OTHER, 92) == verdict  # all hear the same


def test_a_worker_that_says_nothing_any_more_is_the_stuck_one() -> None:
    watchdog = Watchdog(30)
    watchdog.hear(replace(OTHER, doing=WAITS), 0)
    verdicts = [watchdog.hear(BEAT, now) for now in range(0, 70, 5)]
    assert verdicts[-1] is not None
    assert verdicts[-1].line.endswith("worker 1 on 10.0.0.2 is stuck: silent for 65 s")


def test_where_all_wait_for_one_another_nobody_is_blamed() -> None:
    watchdog = Watchdog(30)
    watchdog.hear(BEAT, 0)
    watchdog.hear(replace(OTHER, doing=WAITS), 0)
    watchdog.hear(replace(OTHER, doing=WAITS), 59)
    verdict = watchdog.hear(BEAT, 61)
    assert verdict is not None
    assert "all workers wait for one another" in verdict.line


def test_a_group_that_started_again_begins_again_from_nothing() -> None:
    watchdog = Watchdog(30)
    watchdog.hear(BEAT, 0)
    assert watchdog.hear(BEAT, 100) is not None
    assert watchdog.hear(replace(BEAT, process="third"), 101) is None
    assert watchdog.hear(replace(BEAT, process="third"), 160) is None


def test_a_group_that_hangs_right_after_its_start_gets_the_time_that_the_one_before_took() -> None:
    watchdog = Watchdog(30)
    started = replace(BEAT, limit=float("inf"))
    assert watchdog.hear(started, 100) is None
    assert watchdog.hear(replace(started, moves=6), 36000) is None
    assert watchdog.hear(replace(BEAT, moves=20), 36100) is None  # a minute a step is usual now
    again = replace(started, process="again")
    assert watchdog.hear(again, 40000) is None
    assert watchdog.hear(again, 40000 + 2 * 36000 + 60) is None
    assert watchdog.hear(again, 40000 + 2 * 36000 + 61) is not None


def test_a_stop_in_the_very_first_steps_is_told_and_ends_nothing_and_no_later_one_is_missed() -> (
    None
):
    watchdog = Watchdog(30)
    started = replace(BEAT, limit=float("inf"))
    assert watchdog.hear(started, 0) is None
    assert watchdog.hear(started, 30) is None
    verdict = watchdog.hear(started, 31)
    assert verdict is not None
    assert not verdict.ends
    assert "for 31 s in the first steps" in verdict.line
    assert watchdog.hear(started, 1000) == verdict
    assert watchdog.hear(replace(started, moves=6), 1001) is None
    assert watchdog.hear(replace(BEAT, moves=20), 1002) is None
    verdict = watchdog.hear(replace(BEAT, moves=20), 1063)
    assert verdict is not None
    assert verdict.ends


def test_a_worker_tells_its_stacks_once_and_goes_on_where_nothing_is_to_end() -> None:
    beats: list[Beat] = []
    told: list[dict] = []

    def hear(beat: Beat) -> Verdict:
        beats.append(beat)
        return Verdict("no worker moved", ends=False)

    with Watch(hear, times=100, seconds=0.04).over(Pulse(), 0, "10.0.0.1", told.append):
        while len(beats) < 4:
            time.sleep(0.01)
    assert [event["verdict"] for event in told] == ["no worker moved"]
    assert told[0]["stacks"]


def test_one_worker_that_may_take_longer_gives_all_of_them_the_time() -> None:
    watchdog = Watchdog(30)
    watchdog.hear(replace(OTHER, limit=600), 0)
    watchdog.hear(BEAT, 0)
    assert watchdog.hear(BEAT, 599) is None
    assert watchdog.hear(BEAT, 601) is not None


def test_the_limit_follows_the_usual_time_of_a_step_and_there_is_none_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([*range(0, 40, 2), *range(1000, 1040, 2)])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    pulse = Pulse()
    for _ in range(10):
        pulse.begin_step()
    assert pulse.limit(100, 60) == float("inf")
    for _ in range(10):
        pulse.begin_step()
    pulse.pause()  # a validation of 962 s
    for _ in range(20):
        pulse.begin_step()
    assert pulse.limit(100, 60) == 200
    assert pulse.limit(100, 300) == 300
    with pulse.doing(STORES):
        assert pulse.limit(100, 60) == 600


def test_a_worker_waits_once_its_part_of_the_step_is_computed() -> None:
    pulse = Pulse()
    arrived = 0
    pulse.arrived = lambda: arrived
    pulse.begin_step()
    before = pulse.moves
    with pulse.doing(STEPS):
        assert pulse.what() == STEPS
        arrived = 1
        assert pulse.what() == WAITS
    assert pulse.what() == "between two steps"
    assert pulse.moves > before


def test_the_stacks_name_threads_and_where_they_are() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="a thread that waits")
    thread.start()
    lines = stacks()
    ended.set()
    thread.join()
    start = lines.index("thread a thread that waits")
    assert any("threading.py" in line for line in lines[start + 1 : start + 8])
