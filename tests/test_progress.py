"""Progress of processes elsewhere that reaches the driver."""

from typing import Any

import pytest

from rnnray.progress import Events


def test_an_error_of_whoever_takes_the_progress_is_raised_and_not_lost_in_a_thread(
    ray_cluster: None,
) -> None:
    taken: list[dict[str, Any]] = []

    def take(event: dict[str, Any]) -> None:
        taken.append(event)
        raise BrokenPipeError("nobody reads")

    def tell_three() -> None:
        with Events(take) as events:
            for number in range(3):
                events.tell({"kind": "step", "number": number})

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        tell_three()
    assert taken == [{"kind": "step", "number": 0}]
