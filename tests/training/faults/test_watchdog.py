"""When a group counts as stuck, and who is named; real hangs are in tests/cluster."""

import threading
import time
from dataclasses import replace

import pytest

from rnnray.training.faults.watchdog import STEPS, STORES, WAITS, Beat, Pulse, Watchdog, stacks

BEAT = Beat("first", 0, "10.0.0.1", 5, WAITS, 60)
OTHER = Beat("second", 1, "10.0.0.2", 5, "waiting for its data", 60)


def test_a_group_is_stuck_when_no_worker_has_moved_and_the_one_that_others_wait_for_is_named() -> (
    None
):
    watchdog = Watchdog()
    for now in range(0, 60, 5):
        assert watchdog.hear(BEAT, now) is None
        assert watchdog.hear(replace(OTHER, moves=now // 30), now) is None
    for now in range(60, 90, 5):
        assert watchdog.hear(BEAT, now) is None
        assert watchdog.hear(replace(OTHER, moves=1), now) is None
    verdict = watchdog.hear(BEAT, 91)
    assert verdict == (
        "no worker moved for 61 s: worker 1 on 10.0.0.2 is stuck: waiting for its data"
    )
    assert watchdog.hear(OTHER, 92) == verdict  # all hear the same


def test_a_worker_that_says_nothing_any_more_is_the_stuck_one() -> None:
    watchdog = Watchdog()
    watchdog.hear(replace(OTHER, doing=WAITS), 0)
    verdicts = [watchdog.hear(BEAT, now) for now in range(0, 70, 5)]
    assert verdicts[-1] is not None
    assert verdicts[-1].endswith("worker 1 on 10.0.0.2 is stuck: silent for 65 s")


def test_where_all_wait_for_one_another_nobody_is_blamed() -> None:
    watchdog = Watchdog()
    watchdog.hear(BEAT, 0)
    watchdog.hear(replace(OTHER, doing=WAITS), 0)
    watchdog.hear(replace(OTHER, doing=WAITS), 59)
    verdict = watchdog.hear(BEAT, 61)
    assert verdict is not None
    assert "all workers wait for one another" in verdict


def test_a_group_that_started_again_begins_anew() -> None:
    watchdog = Watchdog()
    watchdog.hear(BEAT, 0)
    assert watchdog.hear(BEAT, 100) is not None
    assert watchdog.hear(replace(BEAT, process="third"), 101) is None
    assert watchdog.hear(replace(BEAT, process="third"), 160) is None


def test_one_worker_that_may_take_longer_gives_all_of_them_the_time() -> None:
    watchdog = Watchdog()
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
