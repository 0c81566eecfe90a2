"""Progress of processes elsewhere that reaches the driver."""

import threading
from typing import Any

import pytest
import ray

from rnnray.events import Events


def test_an_event_that_cannot_be_shown_is_said_and_those_after_it_arrive(
    ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[int] = []

    def take(event: dict[str, Any]) -> None:
        if event["number"] == 0:
            raise OSError("no space left for TensorBoard")
        taken.append(event["number"])

    with Events(take) as events:
        for number in range(3):
            events.tell({"kind": "step", "number": number})
    assert taken == [1, 2]
    (line,) = capsys.readouterr().out.splitlines()
    assert "a progress line is lost (step): OSError('no space left for TensorBoard')" in line


def test_progress_goes_on_after_its_actor_died(
    ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived = threading.Event()
    with Events(lambda event: arrived.set()) as events:
        ray.kill(events._queue.actor, no_restart=False)
        for _ in range(300):  # those that the dying actor took are lost
            events.tell({"kind": "step"})
            if arrived.wait(0.1):
                break
    assert arrived.is_set()
    assert "progress" not in capsys.readouterr().out
