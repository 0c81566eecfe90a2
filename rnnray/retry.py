"""Calls that are made again until they work: one back-off, for all storage."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

_PAUSE = 0.5  # seconds before the second attempt; then twice as long, up to `_LONGEST_PAUSE`
_LONGEST_PAUSE = 10.0
_SILENCE = 3.0  # seconds of trouble that are not worth a line
_LINE_SECONDS = 30.0  # between lines about one place, whichever threads of a process wait for it

T = TypeVar("T")
_told: dict[str, float] = {}  # when the last line about a place was


class GaveUp(Exception):  # noqa: N818
    """No attempt has succeeded for long.

    Attributes:
        reason: of the last failure.
        seconds: since the first failure.
    """

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"{reason} for {seconds:.0f} s")
        self.reason, self.seconds = reason, seconds


def retry(
    place: str,
    attempt: Callable[[], T],
    reason: Callable[[Exception], str],
    *,
    patience: float,
    say_waiting: Callable[[str, float], None],
    say_over: Callable[[float], None],
) -> T:
    """Call `attempt` until it succeeds or `patience` seconds have passed; return its result.

    Args:
        place: path or URI of what is called.
        attempt: what may fail.
        reason: gives few words for an error that may pass by itself; "" for others, or raises.
        patience: seconds from the first failure to giving up.
        say_waiting: takes the reason and the seconds that are left, now and then.
        say_over: takes the seconds that it took in the end; called only after `say_waiting`.

    Raises:
        GaveUp: the patience is over.
        Exception: what `attempt` raised, if it will not pass, or what `reason` did.
    """
    began, pause, told = time.monotonic(), _PAUSE, False
    while True:
        try:
            result = attempt()
        except Exception as error:
            why = reason(error)
            if not why:
                raise
        else:
            if told:
                say_over(time.monotonic() - began)
            return result
        now = time.monotonic()
        if now - began + pause > patience:
            raise GaveUp(why, now - began)
        if now - began > _SILENCE and now - _told.get(place, float("-inf")) > _LINE_SECONDS:
            told, _told[place] = True, now
            say_waiting(why, patience - (now - began))
        # Not all of those that wait should come back at once.
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE)
