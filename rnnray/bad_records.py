"""Records and files that cannot be used: counted across all processes, and reported."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import ray

from rnnray import cluster
from rnnray.errors import UserError
from rnnray.progress import say

_SHOWN = 5
_KEPT = 1000


class _Tally:
    """State of an actor that counts a record once, even if later epochs read it again."""

    def __init__(self) -> None:
        self._messages: dict[str, None] = {}

    def add(self, message: str) -> None:
        self._messages[message] = None

    def messages(self) -> tuple[int, list[str]]:
        return len(self._messages), list(self._messages)[:_KEPT]


class BadRecords:
    """Collects errors of bad records from all processes of the cluster; called with an error."""

    def __init__(self) -> None:
        tally = ray.remote(num_cpus=0, scheduling_strategy=cluster.on_this_node())(_Tally)
        self._actor: Any = tally.remote()

    def __call__(self, error: UserError) -> None:
        """Count a bad record; waits, so that the tally is complete once the data are read."""
        ray.get(self._actor.add.remote(str(error)))

    def messages(self) -> tuple[int, list[str]]:
        """Return the number of different bad records, and the messages of the first thousand."""
        count, messages = ray.get(self._actor.messages.remote())
        return count, messages

    @property
    def count(self) -> int:
        """Return the number of different bad records."""
        return self.messages()[0]


@contextmanager
def counted(mode: Literal["error", "skip"], unit: str = "drawings") -> Iterator[BadRecords | None]:
    """For `skip`, yield a counter of bad records, and print at the end what was skipped.

    Args:
        mode: whether bad records are errors, or skipped.
        unit: name of what is skipped.
    """
    if mode == "error":
        yield None
        return
    bad = BadRecords()
    yield bad
    count, messages = bad.messages()
    if count:
        say(f"skipped {count:,} {unit} that cannot be used:")
        for message in messages[:_SHOWN]:
            say(f"    {message}")
        if count > _SHOWN:
            say(f"    and {count - _SHOWN:,} more")


def say_passed_over(files: Sequence[str], one: str, several: str) -> int:
    """Print the names of a few files that are no data; return the number of all.

    Args:
        files: paths of the files.
        one: what one of them is, such as "1 file that is no video".
        several: what several are, after their number.
    """
    if count := len(files):
        what = one if count == 1 else f"{count:,} {several}"
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        say(f"passed over {what}: {', '.join(files[:_SHOWN])}{more}")
    return count
