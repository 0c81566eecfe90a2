"""Progress: lines that read well on a terminal and in a job's log alike."""

import sys
import time


def say(text: str) -> None:
    """Print one line for people, with the time of day."""
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {printable(text)}\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """A question mark for all that does not print: names in strangers' files may have escape
    sequences, which a terminal would obey.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


class Every:
    """True at most once in some seconds: `if every(): say(...)`."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> bool:
        """Whether the seconds have passed since it was last true."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
