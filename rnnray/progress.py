"""Lines of progress that read well on a terminal and in a job's log."""

import sys
import time


def say(text: str) -> None:
    """Print a line for people, with the time of day."""
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {printable(text)}\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Replace characters that do not print by question marks.

    Names in files from elsewhere may have escape sequences, which a terminal would obey.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


class Every:
    """Callable that is true at most once in `seconds` seconds: `if every(): say(...)`."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> bool:
        """Return whether `seconds` have passed since it was last true."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
