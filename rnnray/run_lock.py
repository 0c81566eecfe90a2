"""A lock that lets one run at a time write under a name: for training, sweeps and generation.

An object store has no locks that end with their owner. So the lock is an object that names its
owner, with a heartbeat.
"""

import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pyarrow import fs

from rnnray import storage
from rnnray.artifacts import Exists, open_store
from rnnray.artifacts.local import LocalStore
from rnnray.errors import UserError
from rnnray.progress import say

LOCK = "lock.json"
BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
_FRESH_SECONDS = STALE_SECONDS / 2  # age after which a beat no longer proves the lock
_RELEASE_SECONDS = 10.0
_LOOKS = 30  # number of looks at a lock whose run may be dead
_ATTEMPTS = 3
_ours: set[str] = set()  # owners of locks in this process


class LockLost(UserError):  # noqa: N818
    """Another run has taken this run's lock."""


class LockStore(Protocol):
    """The part of a `Store` that the lock needs."""

    @property
    def uri(self) -> str:
        """Path or URI of the run's folder."""

    def get(self, key: str) -> bytes | None:
        """See `Store`."""

    def put(self, key: str, content: bytes, *, content_type: str, if_absent: bool = False) -> None:
        """See `Store`."""

    def delete(self, key: str) -> None:
        """See `Store`."""

    def list(self) -> Any:
        """See `Store`."""


@dataclass(frozen=True)
class _ArrowStore:
    """A store that only pyarrow reaches.

    Ignores `if_absent`: of two runs that begin in the same moment, the first one finds the other's
    lock at its next beat.
    """

    uri: str

    def get(self, key: str) -> bytes | None:
        return storage.read_bytes(storage.join(self.uri, key))

    def put(self, key: str, content: bytes, *, content_type: str, if_absent: bool = False) -> None:
        del content_type, if_absent
        storage.write_bytes(storage.join(self.uri, key), content)

    def delete(self, key: str) -> None:
        storage.delete(storage.join(self.uri, key))

    def list(self) -> Any:
        try:
            return iter(() if storage.is_empty(self.uri) else (self.uri,))
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be read") from error


def lock_store(uri: str) -> LockStore:
    """Return the lock's store for a run whose files `rnnray.storage` writes.

    Args:
        uri: absolute path or URI of the run's folder.
    """
    filesystem, path = storage.open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return LocalStore(path)
    return open_store(uri) if uri.startswith("s3://") else _ArrowStore(uri)


@dataclass(frozen=True)
class Held:
    """A lock that a run holds, as its other processes see it. Small: it may be pickled."""

    store: LockStore
    owner: str

    def check(self) -> bool:
        """Read the lock; return false if the whole folder is gone, as a drive's may be for a while.

        Raises:
            LockLost: another run has the lock, or had it and has ended.
            UserError: the lock cannot be read.
        """
        found = self.store.get(LOCK)
        if found is None and next(iter(self.store.list()), None) is None:
            return False
        check_owner(found, self.owner, self.store.uri)
        return True


def check_owner(found: bytes | None, owner: str, uri: str) -> None:
    """Raise `LockLost` unless the lock is the owner's.

    Args:
        found: content of the lock; None if there is none.
        owner: see `Held`.
        uri: the run's folder, for messages.
    """
    lock = _parse(found or b"")
    if lock.get("owner") != owner:
        raise LockLost(
            f"{uri}: another run ({_name(lock) if lock else f'which has ended: no {LOCK} is left'})"
            " took over while this one gave no heartbeat; this one stops"
        )


class RunLock:
    """A lock for a `with` statement; a thread beats meanwhile, and releases the lock at the end.

    Args:
        store: folder of the run, where the lock lies.
        beat_seconds: time between two beats.
        watch_seconds: time for which a lock is watched for a beat, if its owner cannot be looked
            up.
        release_seconds: time that the end waits for a store that does not answer.

    Raises:
        UserError: on entering, if another run is at work there.
    """

    def __init__(
        self,
        store: LockStore,
        *,
        beat_seconds: float = BEAT_SECONDS,
        watch_seconds: float = STALE_SECONDS,
        release_seconds: float = _RELEASE_SECONDS,
    ) -> None:
        self._store, self._beat_seconds = store, beat_seconds
        self._watch_seconds, self._release_seconds = watch_seconds, release_seconds
        self.held = Held(store, uuid.uuid4().hex)
        self._lost: LockLost | None = None
        self._confirmed = _now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        for _ in range(_ATTEMPTS):
            # Some stores ignore `if_absent`, and would overwrite a lock.
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
        self._confirmed = _now()
        _ours.add(self.held.owner)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _ours.discard(self.held.owner)
        self._ended.set()
        self._thread.join(self._release_seconds)
        if self._thread.is_alive():
            # A store that does not answer must not hide the reason of the run's end, nor delay it.
            say(f"{self._store.uri}: does not answer, so its {LOCK} is left there")

    def check(self) -> None:
        """Raise unless this run still holds its lock, which it may lose in an outage.

        Raises:
            LockLost: another run has taken it.
            UserError: no beat has confirmed it for 15 s (this process was stopped, or the store did
                not answer), and it cannot be read now.
        """
        if self._lost is None and _now() - self._confirmed > _FRESH_SECONDS:
            self._confirm()
        if self._lost is not None:
            raise self._lost

    def _put(self, *, if_absent: bool = False) -> None:
        content = {"owner": self.held.owner, **_this_process(), "beat": time.time()}
        self._store.put(
            LOCK,
            json.dumps(content).encode(),
            content_type="application/json",
            if_absent=if_absent,
        )

    def _clear_stale(self, found: bytes) -> None:
        """Delete a lock whose run is no longer at work."""
        lock = _parse(found)
        if lock:
            here = _this_process()
            # All three parts count: containers may share a host's name, its boot, or a namespace's
            # number.
            same = bool(lock["machine"]) and all(
                lock[key] == here[key] for key in ("host", "machine")
            )
            if same and _is_running(lock):
                self._check_silent(lock)
            if (not same or _is_running(lock)) and not self._stays_silent(lock, found):
                return
            say(f"taking over from a run that has died ({_name(lock)})")
        # Of two runs that take over at once, the first may lose its new lock here; it finds out at
        # its next beat.
        self._store.delete(LOCK)

    def _check_silent(self, lock: dict[str, Any]) -> None:
        """Raise `UserError` if a run of this machine has beaten within `STALE_SECONDS`."""
        age = time.time() - float(lock["beat"])
        if age < STALE_SECONDS:
            raise UserError(
                f"{self._store.uri}: another run is writing there ({_name(lock)}, last heartbeat "
                f"{max(age, 0):.0f} s ago); use another --name, or wait until it ends"
            )

    def _stays_silent(self, lock: dict[str, Any], found: bytes) -> bool:
        """Watch a run that may be on another machine, whose clock may be wrong.

        Returns:
            False if the run releases its lock meanwhile.

        Raises:
            UserError: it beats.
        """
        say(
            f"{self._store.uri}: a run was writing there ({_name(lock)}); "
            f"waiting {self._watch_seconds:g} s to see whether it still is"
        )
        end = time.monotonic() + self._watch_seconds
        while time.monotonic() < end:
            time.sleep(self._watch_seconds / _LOOKS)
            now = self._store.get(LOCK)
            if now is None:
                return False
            if now != found:
                raise UserError(
                    f"{self._store.uri}: another run is writing there ({_name(_parse(now))}); use "
                    "another --name, or wait until it ends"
                )
        return True

    def _confirm(self) -> bool:
        """Return whether the lock exists and is ours; remember if it is another run's."""
        try:
            is_there = self.held.check()
        except LockLost as error:
            self._lost = error
            return False
        self._confirmed = _now()
        return is_there

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            try:
                # Not if the folder is gone: a put would make it, in place of a missing drive.
                if self._confirm():
                    self._put()
                elif self._lost is not None:
                    return
            except UserError:
                # A short outage does not concern the lock; a long one ends the run through its
                # other writes.
                continue
            except Exception as error:  # without beats, others would take the run for dead
                say(f"{self._store.uri}: a heartbeat of {LOCK} failed ({type(error).__name__})")
        try:
            if _parse(self._store.get(LOCK) or b"").get("owner") == self.held.owner:
                self._store.delete(LOCK)
        except UserError as problem:
            say(f"{LOCK} could not be deleted: {problem}")


def _parse(content: bytes) -> dict[str, Any]:
    """Return the fields of a lock; {} for content that no run wrote."""
    try:
        lock: Any = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(lock, dict):
        return {}
    lock = dict[str, Any](machine="", started=0) | lock  # absent in earlier versions
    kinds = {"owner": str, "host": str, "machine": str, "pid": int, "started": int, "beat": float}
    if {name: type(value) for name, value in lock.items()} != kinds:
        return {}
    plausible = str(lock["host"]).isprintable() and 0 < lock["pid"] < 1 << 31
    return lock if plausible else {}


def _name(lock: dict[str, Any]) -> str:
    return f"process {lock.get('pid', '?')} on {lock.get('host', '?')}"


def _now() -> float:
    """Seconds since boot, including those in which this machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _this_process() -> dict[str, Any]:
    """Return this process's identity; its number is unique in a PID namespace of one boot only."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        machine = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # a sandbox may hide it; then nobody looks this process up by its number
        machine = ""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": machine,
        "pid": pid,
        "started": _started(pid) or 0,
    }


def _started(pid: int) -> int | None:
    """Return the time when a process of this machine started, in clock ticks since boot.

    0 if it has ended and waits for its parent; None if unknown.
    """
    try:
        # The fields after the name, which may have spaces and brackets: state, parent and so on.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_running(lock: dict[str, Any]) -> bool:
    """Return whether the process of a lock of this machine is running.

    Process numbers are reused, also by containers that follow each other.
    """
    if lock["pid"] == os.getpid():
        return lock["owner"] in _ours
    try:
        os.kill(lock["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(lock["pid"]) in (None, lock["started"])
