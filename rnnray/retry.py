"""Calls that are retried until they work, with one back-off for all storage."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

_PAUSE = 0.5  # seconds before the second attempt; doubles up to `_LONGEST_PAUSE`
_LONGEST_PAUSE = 10.0
_SILENCE = 3.0  # seconds of failure before the first line
_LINE_SECONDS = 30.0  # between two lines about a URI, for all threads of a process

T = TypeVar("T")
_told: dict[str, float] = {}  # time of the last line about each URI


class GaveUp(Exception):  # noqa: N818
    """All attempts have failed for `patience` seconds.

    Attributes:
        reason: reason of the last failure.
        seconds: time since the first failure.
    """

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"{reason} for {seconds:.0f} s")
        self.reason, self.seconds = reason, seconds


def retry(
    uri: str,
    attempt: Callable[[], T],
    reason: Callable[[Exception], str],
    *,
    patience: float,
    say_waiting: Callable[[str, float], None],
    say_over: Callable[[float], None],
) -> T:
    """Call `attempt` until it succeeds or `patience` seconds have passed; return its result.

    Args:
        uri: path or URI that is accessed.
        attempt: call that may fail.
        reason: returns a few words for an error that may pass by itself, "" for others; may raise.
        patience: seconds from the first failure to giving up.
        say_waiting: takes the reason and the seconds that are left; called every 30 s at most.
        say_over: takes the seconds from the start to success; called only after `say_waiting`.

    Raises:
        GaveUp: all attempts failed for `patience` seconds.
        Exception: an error of `attempt` that will not pass, or the error that `reason` raised.
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
        if now - began > _SILENCE and now - _told.get(uri, float("-inf")) > _LINE_SECONDS:
            told, _told[uri] = True, now
            say_waiting(why, patience - (now - began))
        # Random, so that not all waiting processes return at once.
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE)
