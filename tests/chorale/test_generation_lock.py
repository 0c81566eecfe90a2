"""One run at a time under one name: who holds the lock, who may take it, and how it ends."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rnnray.artifacts import Store, open_store
from rnnray.artifacts.local import LocalStore
from rnnray.chorale.generation.lock import STALE_SECONDS, RunLock
from rnnray.errors import UserError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


def keys(store: Store) -> list[str]:
    return [entry.key for entry in store.list()]


def test_a_lock_is_there_while_a_run_is_and_not_afterwards(store: Store) -> None:
    with RunLock(store):
        assert keys(store) == ["lock.json"]
    assert keys(store) == []
    with pytest.raises(ZeroDivisionError), RunLock(store):
        raise ZeroDivisionError
    assert keys(store) == []


def test_a_second_run_under_the_name_of_a_first_is_refused(store: Store) -> None:
    other = _lock(pid=os.getppid())
    store.put("lock.json", other, content_type="")
    with pytest.raises(UserError, match=rf"process {os.getppid()} on .*last heard of"):
        RunLock(store).__enter__()
    assert store.get("lock.json") == other


def test_a_run_of_this_machine_that_was_silent_for_long_is_dead(store: Store) -> None:
    store.put("lock.json", _lock(pid=os.getppid(), age=STALE_SECONDS + 1), content_type="")
    with RunLock(store):
        pass


@pytest.mark.parametrize("age", [-3600, 0, 3600])
def test_another_machine_s_run_that_is_silent_is_dead_whatever_the_clocks_say(
    store: Store, capsys: pytest.CaptureFixture[str], age: float
) -> None:
    store.put("lock.json", _lock(host="elsewhere", age=age), content_type="")
    with RunLock(store, watch_seconds=0.2):
        assert _owner(store) != "other"
    said = capsys.readouterr().out
    assert "watching for 0.2 s" in said
    assert "taking over from a run that has died (process 1 on elsewhere)" in said


@pytest.mark.parametrize("age", [-3600, 0, 3600])
def test_another_machine_s_run_that_beats_is_alive_whatever_the_clocks_say(
    store: Store, age: float
) -> None:
    ended = threading.Event()

    def beat() -> None:
        seconds = age
        while not ended.wait(0.02):
            seconds -= 0.02
            store.put("lock.json", _lock(host="elsewhere", age=seconds), content_type="")

    store.put("lock.json", _lock(host="elsewhere", age=age), content_type="")
    other = threading.Thread(target=beat)
    other.start()
    try:
        with pytest.raises(UserError, match=r"another run is writing there \(process 1 on elsewhe"):
            RunLock(store, watch_seconds=6).__enter__()
        assert _owner(store) == "other"
    finally:
        ended.set()
        other.join()


def test_another_machine_s_run_that_ends_meanwhile_leaves_the_place(store: Store) -> None:
    store.put("lock.json", _lock(host="elsewhere"), content_type="")
    threading.Timer(0.1, store.delete, ["lock.json"]).start()
    with RunLock(store, watch_seconds=6):
        assert _owner(store) != "other"


def test_a_live_lock_is_not_overwritten_where_conditions_are_not_heeded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _lock(pid=os.getppid())
    store.put("lock.json", other, content_type="")
    put = LocalStore.put
    monkeypatch.setattr(
        LocalStore,
        "put",
        lambda self, key, content, *, content_type, if_absent=False: put(
            self, key, content, content_type=content_type
        ),
    )
    with pytest.raises(UserError, match="another run is writing there"):
        RunLock(store).__enter__()
    assert store.get("lock.json") == other


def test_a_run_of_this_machine_that_was_killed_does_not_keep_the_next_one_waiting(
    store: Store,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        store.put("lock.json", _lock(pid=pid), content_type="")
        with RunLock(store):
            assert _owner(store) != "other"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_lock_is_nobodys(store: Store, content: bytes) -> None:
    store.put("lock.json", content, content_type="")
    with RunLock(store):
        pass


def test_a_lock_beats(store: Store) -> None:
    with RunLock(store, beat_seconds=0.01):
        first = store.get("lock.json")
        _wait_until(lambda: store.get("lock.json") != first)


def test_a_run_whose_lock_was_taken_stops_and_leaves_the_lock_to_the_other(store: Store) -> None:
    with RunLock(store, beat_seconds=0.01) as lock:
        lock.check()
        other = _lock(host="elsewhere", pid=7)

        def is_taken() -> bool:  # put again and again, as a beat may come between
            store.put("lock.json", other, content_type="")
            return lock._taken_by is not None

        _wait_until(is_taken)
        with pytest.raises(UserError, match=r"process 7 on elsewhere\) took over"):
            lock.check()
    assert _owner(store) == "other"


def test_an_outage_that_ends_does_not_end_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []

    def fail(self: Any, key: str) -> bytes:
        failures.append(key)
        raise UserError("the store does not answer")

    with RunLock(store, beat_seconds=0.01) as lock:
        first = store.get("lock.json")
        with monkeypatch.context() as outage:
            outage.setattr(type(store), "get", fail)
            _wait_until(lambda: len(failures) > 2)
        lock.check()
        _wait_until(lambda: store.get("lock.json") != first)
        lock.check()


def test_a_store_that_is_away_does_not_keep_a_run_from_ending(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    back = threading.Event()

    def wait(self: LocalStore, key: str) -> bytes | None:
        back.wait(60)
        return get(self, key)

    get = LocalStore.get
    with RunLock(store, release_seconds=0.1) as lock:
        monkeypatch.setattr(LocalStore, "get", wait)
    assert "does not answer, so its lock.json stays behind" in capsys.readouterr().out
    assert keys(store) == ["lock.json"]
    # Should it answer while the process is there, the lock goes.
    back.set()
    lock._thread.join(30)
    assert keys(store) == []


def _owner(store: Store) -> Any:
    return json.loads(store.get("lock.json") or b"{}").get("owner")


def _lock(*, host: str | None = None, pid: int = 1, age: float = 0) -> bytes:
    content = {
        "owner": "other",
        "host": host or socket.gethostname(),
        "pid": pid,
        "beat": time.time() - age,
    }
    return json.dumps(content).encode()


def _wait_until(happened: Any) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)
