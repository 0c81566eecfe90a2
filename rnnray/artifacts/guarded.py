"""A store that may be changed only while something holds."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnray.artifacts.store import Entry, Store

_VOUCH_SECONDS = 1.0  # a check holds for the changes of this time


class GuardedStore:
    """A store of which nothing is changed unless a check allows it; see `Store`.

    Args:
        store: what is guarded.
        check: raises `UserError` where nothing may be changed any more; called before a change,
            once a second at most. It may be pickled, as a store may.
    """

    def __init__(self, store: Store, check: Callable[[], object]) -> None:
        self._store, self._check_now, self._checked = store, check, float("-inf")

    def __reduce__(self) -> Any:
        # Without the time, which another machine counts otherwise.
        return GuardedStore, (self._store, self._check_now)

    @property
    def uri(self) -> str:
        """See `Store`."""
        return self._store.uri

    def put(
        self,
        key: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] = {},
        if_absent: bool = False,
        before_retry: Callable[[], object] = lambda: None,
    ) -> None:
        """See `Store`."""

        def check() -> None:
            self._check()
            before_retry()

        self._check()
        self._store.put(
            key,
            content,
            content_type=content_type,
            metadata=metadata,
            if_absent=if_absent,
            before_retry=check,
        )

    def get(self, key: str) -> bytes | None:
        """See `Store`."""
        return self._store.get(key)

    def size(self, key: str) -> int | None:
        """See `Store`."""
        return self._store.size(key)

    def sha256(self, key: str) -> str | None:
        """See `Store`."""
        return self._store.sha256(key)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`."""
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        """See `Store`."""
        self._check()
        self._store.delete(key)

    def tidy(self) -> None:
        """See `Store`."""
        self._check()
        self._store.tidy()

    def presign(self, key: str, hours: float) -> str:
        """See `Store`."""
        return self._store.presign(key, hours)

    def _check(self) -> None:
        # Threads may do it twice, which does no harm. The clock of a machine that slept, too.
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if now - self._checked > _VOUCH_SECONDS:
            self._check_now()
            self._checked = now
