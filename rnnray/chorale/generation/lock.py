"""One run at a time under one name: an object that says who writes there, and that he still does.

An object store has no locks that end with their owner, so this one has a heartbeat. It keeps two
runs from doing the same work twice; what they write would be the same.
"""

import json
import os
import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Any, Self

from rnnray.artifacts import Exists, Store
from rnnray.chorale.generation.plan import CONTENT_TYPES, LOCK
from rnnray.errors import UserError
from rnnray.progress import say

BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
_ATTEMPTS = 3


class RunLock:
    """Held within a `with` statement; a thread beats meanwhile.

    Args:
        store: of the run.
        beat_seconds: between two beats.

    Raises:
        UserError: on entering, when another run is at work there.
    """

    def __init__(self, store: Store, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._store, self._beat_seconds = store, beat_seconds
        self._token = uuid.uuid4().hex
        self._taken_by: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        for _ in range(_ATTEMPTS):
            try:
                self._put(if_absent=True)
                break
            except Exists:
                self._clear_stale()
        else:
            raise UserError(f"{self._store.uri}: other runs keep taking its {LOCK}; run again")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            if self._read().get("owner") == self._token:
                self._store.delete(LOCK)
        except UserError as problem:
            # A store that fails now must not hide why the run ends.
            say(f"{LOCK} stays behind and is stale in {STALE_SECONDS:g} s: {problem}")

    def check(self) -> None:
        """Raise `UserError` when another run has taken the lock, as it may after an outage."""
        if self._taken_by is not None:
            raise UserError(
                f"{self._store.uri}: another run ({self._taken_by}) took over while this one could "
                "not be heard of; this one stops"
            )

    def _put(self, *, if_absent: bool = False) -> None:
        content = {
            "owner": self._token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "beat": time.time(),
        }
        self._store.put(
            LOCK,
            json.dumps(content).encode(),
            content_type=CONTENT_TYPES["json"],
            if_absent=if_absent,
        )

    def _read(self) -> dict[str, Any]:
        """What the lock says; {} where there is none, or nothing that a run wrote."""
        try:
            lock = json.loads(self._store.get(LOCK) or b"{}")
        except (ValueError, RecursionError):
            return {}
        kinds = {"owner": str, "host": str, "pid": int, "beat": float}
        if not isinstance(lock, dict) or {n: type(v) for n, v in lock.items()} != kinds:
            return {}
        return lock if lock["host"].isprintable() and 0 < lock["pid"] < 1 << 31 else {}

    def _clear_stale(self) -> None:
        lock = self._read()
        age = time.time() - float(lock.get("beat", 0))
        if age < STALE_SECONDS and not _is_dead(lock):
            raise UserError(
                f"{self._store.uri}: another run is writing there ({_name(lock)}, last heard of "
                f"{max(age, 0):.0f} s ago); take another --name, or wait: if it was killed, this "
                f"is free {STALE_SECONDS:g} s after that"
            )
        if lock:
            say(f"taking over from a run that has died ({_name(lock)})")
        # Of two runs that take over at once, the first may lose its new lock here: it will find
        # that with its next beat.
        self._store.delete(LOCK)

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            try:
                lock = self._read()
                if lock.get("owner", self._token) != self._token:
                    self._taken_by = _name(lock)
                    return
                self._put()
            except UserError:
                # An outage that ends is none of the lock's business; one that lasts ends the run.
                continue


def _name(lock: dict[str, Any]) -> str:
    return f"process {lock.get('pid', '?')} on {lock.get('host', '?')}"


def _is_dead(lock: dict[str, Any]) -> bool:
    """Whether the owner was a process of this machine that has ended."""
    pid = lock.get("pid")
    if lock.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    if pid == os.getpid():
        # Of an earlier process: containers that start again give the same numbers again.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
