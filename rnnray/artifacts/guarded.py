"""A store that may be changed only while a check allows it."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnray.artifacts.store import Entry, Store

_VOUCH_SECONDS = 1.0  # time for which a check covers further changes


class GuardedStore:
    """A store that asks a check before each change; see `Store`.

    Args:
        store: the store.
        check: raises `UserError` once nothing may be changed any more; called before a change, at
            most once a second. It may be pickled, as a store may.
    """

    def __init__(self, store: Store, check: Callable[[], object]) -> None:
        self._store, self._check_now, self._checked = store, check, float("-inf")

    def __reduce__(self) -> Any:
        # Without the time of the last check: clocks of machines differ.
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
        # Two threads may both check, which does no harm. BOOTTIME also counts sleep of the machine.
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if now - self._checked > _VOUCH_SECONDS:
            self._check_now()
            self._checked = now
