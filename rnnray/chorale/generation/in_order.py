"""Results in the order of their items, from slow storage that a few threads ask at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_THREADS = 8
_AHEAD = 2 * _THREADS

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield the results of `work`, which must be safe for threads, in the order of the items.

    At most 16 results are held, so items and results may be many and large.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                if len(pending) == _AHEAD:
                    yield pending.popleft().result()
                pending.append(threads.submit(work, item))
            while pending:
                yield pending.popleft().result()
        finally:
            for left in pending:
                left.cancel()
