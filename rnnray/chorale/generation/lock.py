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
_RELEASE_SECONDS = 10.0
_LOOKS = 30  # at another machine's lock
_ATTEMPTS = 3


class RunLock:
    """Held within a `with` statement; a thread beats meanwhile, and gives the lock back.

    Args:
        store: of the run.
        beat_seconds: between two beats.
        watch_seconds: for so long the lock of another machine is watched for a beat.
        release_seconds: so long the end waits for a store that is away.

    Raises:
        UserError: on entering, when another run is at work there.
    """

    def __init__(
        self,
        store: Store,
        *,
        beat_seconds: float = BEAT_SECONDS,
        watch_seconds: float = STALE_SECONDS,
        release_seconds: float = _RELEASE_SECONDS,
    ) -> None:
        self._store, self._beat_seconds = store, beat_seconds
        self._watch_seconds, self._release_seconds = watch_seconds, release_seconds
        self._token = uuid.uuid4().hex
        self._taken_by: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        for _ in range(_ATTEMPTS):
            # There are stores that take no notice of `if_absent`, and would overwrite a lock.
            found = self._store.get(LOCK)
            if found is not None:
                self._clear_stale(found)
            try:
                self._put(if_absent=True)
                break
            except Exists:
                continue
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
        self._thread.join(self._release_seconds)
        if self._thread.is_alive():
            # A store that is away must not hide why the run ends, nor keep it from ending.
            say(f"{self._store.uri}: does not answer, so its {LOCK} stays behind")

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

    def _clear_stale(self, found: bytes) -> None:
        """Delete a lock of nobody who is at work."""
        lock = _parse(found)
        if lock:
            if lock["host"] == socket.gethostname():
                self._check_dead(lock)
            elif not self._is_silent(lock, found):
                return
            say(f"taking over from a run that has died ({_name(lock)})")
        # Of two runs that take over at once, the first may lose its new lock here: it will find
        # that with its next beat.
        self._store.delete(LOCK)

    def _check_dead(self, lock: dict[str, Any]) -> None:
        """Raise `UserError` unless a run of this machine has died, or was silent for long."""
        age = time.time() - float(lock["beat"])
        if age < STALE_SECONDS and not _has_ended(lock["pid"]):
            raise UserError(
                f"{self._store.uri}: another run is writing there ({_name(lock)}, last heard of "
                f"{max(age, 0):.0f} s ago); take another --name, or wait: if it was killed, this "
                f"is free {STALE_SECONDS:g} s after that"
            )

    def _is_silent(self, lock: dict[str, Any], found: bytes) -> bool:
        """Watch a run of another machine, whose clock may be wrong; false when it gives its lock
        back meanwhile.

        Raises:
            UserError: it beats.
        """
        say(
            f"{self._store.uri}: a run was writing there ({_name(lock)}); "
            f"watching for {self._watch_seconds:g} s whether it still is"
        )
        end = time.monotonic() + self._watch_seconds
        while time.monotonic() < end:
            time.sleep(self._watch_seconds / _LOOKS)
            now = self._store.get(LOCK)
            if now is None:
                return False
            if now != found:
                raise UserError(
                    f"{self._store.uri}: another run is writing there ({_name(_parse(now))}); "
                    "take another --name, or wait"
                )
        return True

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
        try:
            if self._read().get("owner") == self._token:
                self._store.delete(LOCK)
        except UserError as problem:
            say(f"{LOCK} stays behind: {problem}")

    def _read(self) -> dict[str, Any]:
        return _parse(self._store.get(LOCK) or b"")


def _parse(content: bytes) -> dict[str, Any]:
    """What a lock says; {} for what no run wrote."""
    try:
        lock = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    kinds = {"owner": str, "host": str, "pid": int, "beat": float}
    if not isinstance(lock, dict) or {n: type(v) for n, v in lock.items()} != kinds:
        return {}
    return lock if lock["host"].isprintable() and 0 < lock["pid"] < 1 << 31 else {}


def _name(lock: dict[str, Any]) -> str:
    return f"process {lock.get('pid', '?')} on {lock.get('host', '?')}"


def _has_ended(pid: int) -> bool:
    """Whether a process of this machine has."""
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
