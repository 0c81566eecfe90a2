"""One run at a time under one name: training, sweeps and generation take the same lock.

An object store has no locks that end with their owner, so this one is an object that says who
writes there, with a heartbeat.
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
_FRESH_SECONDS = STALE_SECONDS / 2  # a beat so old no longer vouches for the lock
_RELEASE_SECONDS = 10.0
_LOOKS = 30  # at a lock that may be a dead run's
_ATTEMPTS = 3
_ours: set[str] = set()  # owners in this process


class LockLost(UserError):  # noqa: N818
    """Another run holds the lock of this one."""


class Place(Protocol):
    """What the lock needs of a `Store`."""

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
class _ArrowPlace:
    """A place that only pyarrow reaches. It takes no notice of `if_absent`: of two runs that begin
    in the same moment, the first finds the other's lock with its next beat.
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


def place_of(uri: str) -> Place:
    """The place of the lock of a run whose files `rnnray.storage` writes.

    Args:
        uri: of the run's folder; absolute path or URI.
    """
    filesystem, path = storage.open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return LocalStore(path)
    return open_store(uri) if uri.startswith("s3://") else _ArrowPlace(uri)


@dataclass(frozen=True)
class Held:
    """A lock that a run holds, as its other processes see it. Small: it may be pickled."""

    place: Place
    owner: str

    def check(self) -> bool:
        """Read the lock; false where the whole folder is gone, as a drive's is for a while.

        Raises:
            LockLost: another run holds it, or held it and has ended.
            UserError: it cannot be read.
        """
        found = self.place.get(LOCK)
        if found is None and next(iter(self.place.list()), None) is None:
            return False
        check_owner(found, self.owner, self.place.uri)
        return True


def check_owner(found: bytes | None, owner: str, uri: str) -> None:
    """Raise `LockLost` unless a lock is the owner's.

    Args:
        found: the lock's content; None where there is none.
        owner: see `Held`.
        uri: of the run's folder, for messages.
    """
    lock = _parse(found or b"")
    if lock.get("owner") != owner:
        raise LockLost(
            f"{uri}: another run ({_name(lock) if lock else f'which has ended: no {LOCK} is left'})"
            " took over while this one gave no heartbeat; this one stops"
        )


class RunLock:
    """Held within a `with` statement; a thread beats meanwhile, and gives the lock back.

    Args:
        place: of the run.
        beat_seconds: between two beats.
        watch_seconds: duration for which a lock is watched for a beat, where its owner cannot be
            looked up.
        release_seconds: time that the end waits for a store that is away.

    Raises:
        UserError: on entering, when another run is at work there.
    """

    def __init__(
        self,
        place: Place,
        *,
        beat_seconds: float = BEAT_SECONDS,
        watch_seconds: float = STALE_SECONDS,
        release_seconds: float = _RELEASE_SECONDS,
    ) -> None:
        self._place, self._beat_seconds = place, beat_seconds
        self._watch_seconds, self._release_seconds = watch_seconds, release_seconds
        self.held = Held(place, uuid.uuid4().hex)
        self._lost: LockLost | None = None
        self._confirmed = _now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        for _ in range(_ATTEMPTS):
            # There are stores that take no notice of `if_absent`, and would overwrite a lock.
            found = self._place.get(LOCK)
            if found is not None:
                self._clear_stale(found)
            try:
                self._put(if_absent=True)
                break
            except Exists:
                continue
        else:
            raise UserError(f"{self._place.uri}: other runs keep taking its {LOCK}; run again")
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
            # A store that is away must not hide why the run ends, nor keep it from ending.
            say(f"{self._place.uri}: does not answer, so its {LOCK} is left there")

    def check(self) -> None:
        """Raise unless this run still holds its lock, which it may lose in an outage.

        Raises:
            LockLost: another run has taken it.
            UserError: no beat has confirmed it for long (this process was stopped, the store
                away), and it cannot be read now.
        """
        if self._lost is None and _now() - self._confirmed > _FRESH_SECONDS:
            self._confirm()
        if self._lost is not None:
            raise self._lost

    def _put(self, *, if_absent: bool = False) -> None:
        content = {"owner": self.held.owner, **_this_process(), "beat": time.time()}
        self._place.put(
            LOCK,
            json.dumps(content).encode(),
            content_type="application/json",
            if_absent=if_absent,
        )

    def _clear_stale(self, found: bytes) -> None:
        """Delete a lock of nobody who is at work."""
        lock = _parse(found)
        if lock:
            here = _this_process()
            # All three: containers may share a host's name, its boot, or a namespace's number.
            same = bool(lock["machine"]) and all(
                lock[key] == here[key] for key in ("host", "machine")
            )
            if same and _is_running(lock):
                self._check_silent(lock)
            if (not same or _is_running(lock)) and not self._stays_silent(lock, found):
                return
            say(f"taking over from a run that has died ({_name(lock)})")
        # Of two runs that take over at once, the first may lose its new lock here: it will find
        # that with its next beat.
        self._place.delete(LOCK)

    def _check_silent(self, lock: dict[str, Any]) -> None:
        """Raise `UserError` where a run of this machine was heard of lately."""
        age = time.time() - float(lock["beat"])
        if age < STALE_SECONDS:
            raise UserError(
                f"{self._place.uri}: another run is writing there ({_name(lock)}, last heartbeat "
                f"{max(age, 0):.0f} s ago); use another --name, or wait until it ends"
            )

    def _stays_silent(self, lock: dict[str, Any], found: bytes) -> bool:
        """Watch a run that may be on another machine, whose clock may be wrong; false when it
        gives its lock back meanwhile.

        Raises:
            UserError: it beats.
        """
        say(
            f"{self._place.uri}: a run was writing there ({_name(lock)}); "
            f"waiting {self._watch_seconds:g} s to see whether it still is"
        )
        end = time.monotonic() + self._watch_seconds
        while time.monotonic() < end:
            time.sleep(self._watch_seconds / _LOOKS)
            now = self._place.get(LOCK)
            if now is None:
                return False
            if now != found:
                raise UserError(
                    f"{self._place.uri}: another run is writing there ({_name(_parse(now))}); use "
                    "another --name, or wait until it ends"
                )
        return True

    def _confirm(self) -> bool:
        """Whether the lock is there and ours; notes it where it is another's."""
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
                # Not where the folder is gone: a put would make it, below a missing drive's name.
                if self._confirm():
                    self._put()
                elif self._lost is not None:
                    return
            except UserError:
                # An outage that ends is none of the lock's business; one that lasts ends the run.
                continue
            except Exception as error:  # without beats the run would be taken for dead
                say(f"{self._place.uri}: a heartbeat of {LOCK} failed ({type(error).__name__})")
        try:
            if _parse(self._place.get(LOCK) or b"").get("owner") == self.held.owner:
                self._place.delete(LOCK)
        except UserError as problem:
            say(f"{LOCK} could not be deleted: {problem}")


def _parse(content: bytes) -> dict[str, Any]:
    """What a lock says; {} for what no run wrote."""
    try:
        lock: Any = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(lock, dict):
        return {}
    lock = dict[str, Any](machine="", started=0) | lock  # earlier versions did not say these
    kinds = {"owner": str, "host": str, "machine": str, "pid": int, "started": int, "beat": float}
    if {name: type(value) for name, value in lock.items()} != kinds:
        return {}
    plausible = str(lock["host"]).isprintable() and 0 < lock["pid"] < 1 << 31
    return lock if plausible else {}


def _name(lock: dict[str, Any]) -> str:
    return f"process {lock.get('pid', '?')} on {lock.get('host', '?')}"


def _now() -> float:
    """Seconds, those in which this machine slept too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _this_process() -> dict[str, Any]:
    """Who this is: a process number means something in one PID namespace of one boot alone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        machine = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # a sandbox that does not tell: then nobody looks for this process by number
        machine = ""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": machine,
        "pid": pid,
        "started": _started(pid) or 0,
    }


def _started(pid: int) -> int | None:
    """When a process of this machine started, in clock ticks since boot; 0 for one that has ended
    and waits for its parent; None where that is not told.
    """
    try:
        # Behind the name, which may have spaces and brackets: state, parent and so on.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_running(lock: dict[str, Any]) -> bool:
    """Whether the process of a lock of this machine is; numbers are given again, also to the
    containers that follow each other.
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
