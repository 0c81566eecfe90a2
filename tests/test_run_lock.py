"""One run at a time under one name: who holds the lock, who may take it, and how it ends."""

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from observed import wait_until

from rnnray import run_lock
from rnnray.artifacts import Store, open_store
from rnnray.artifacts.guarded import GuardedStore
from rnnray.artifacts.local import LocalStore
from rnnray.errors import UserError
from rnnray.run_lock import STALE_SECONDS, LockLost, RunLock, lock_store


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
    with pytest.raises(UserError, match=rf"process {os.getppid()} on .*last heartbeat"):
        RunLock(store).__enter__()
    assert store.get("lock.json") == other


def test_a_run_of_this_machine_that_is_there_and_silent_is_watched_before_it_counts_as_dead(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # As after a laptop's sleep, or of a process that was stopped.
    store.put("lock.json", _lock(pid=os.getppid(), age=STALE_SECONDS + 1), content_type="")
    with RunLock(store, watch_seconds=0.2):
        pass
    assert "waiting 0.2 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "other",
    [
        *({"host": "elsewhere", "age": age} for age in (-3600, 0, 3600)),  # whatever the clocks say
        # Of two containers, both have process 1, and may have one host's name.
        {"machine": "another-boot pid:[1]"},
        {"machine": ""},
    ],
)
def test_another_machine_s_or_container_s_run_that_beats_is_alive(
    store: Store, other: dict[str, Any]
) -> None:
    ended = threading.Event()

    def beat() -> None:
        seconds = other.get("age", 0)
        while not ended.wait(0.02):
            seconds -= 0.02
            lock = _lock(**{"pid": os.getpid(), **other, "age": seconds})
            store.put("lock.json", lock, content_type="")

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        wait_until(lambda: store.get("lock.json") is not None)
        running = rf"another run is writing there \(process {os.getpid()} on "
        with pytest.raises(UserError, match=running):
            RunLock(store, watch_seconds=6).__enter__()
        assert _owner(store) == "other"
    finally:
        ended.set()
        thread.join()


def test_two_runs_in_one_process_are_kept_apart(store: Store) -> None:
    with RunLock(store), pytest.raises(UserError, match="another run is writing there"):
        RunLock(store).__enter__()


def test_a_process_that_was_given_a_dead_run_s_number_does_not_keep_the_next_one_waiting(
    store: Store,
) -> None:
    store.put("lock.json", _lock(pid=os.getppid(), started=1), content_type="")
    with RunLock(store, watch_seconds=60):
        assert _owner(store) != "other"


def test_what_a_run_puts_late_is_refused_once_another_run_has_or_had_the_lock(store: Store) -> None:
    with RunLock(store, beat_seconds=60) as lock:
        held = pickle.loads(pickle.dumps(lock.held))  # as its tasks have it
        assert held.check()
        store.put("lock.json", _lock(host="elsewhere", pid=7), content_type="")
        with pytest.raises(LockLost, match=r"process 7 on elsewhere\) took over"):
            held.check()
        store.put("run.yaml", b"", content_type="")
        store.delete("lock.json")  # the other one has ended
        with pytest.raises(LockLost, match="which has ended"):
            held.check()
        for change in (
            lambda late: late.put("run.yaml", b"late", content_type=""),
            lambda late: late.delete("run.yaml"),
        ):
            with pytest.raises(LockLost):
                change(pickle.loads(pickle.dumps(GuardedStore(store, held.check))))
        assert store.get("run.yaml") == b""


def test_a_run_that_was_stopped_for_long_looks_before_it_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunLock(store, beat_seconds=60) as lock:
        store.put("lock.json", _lock(host="elsewhere", pid=7), content_type="")
        lock.check()  # a beat has just vouched for it
        later = run_lock._now() + STALE_SECONDS
        monkeypatch.setattr(run_lock, "_now", lambda: later)
        with pytest.raises(LockLost, match="process 7 on elsewhere"):
            lock.check()


def test_a_drive_that_is_gone_for_a_while_costs_neither_the_lock_nor_gets_a_folder(
    tmp_path: Path,
) -> None:
    drive = tmp_path / "drive"
    store = lock_store(str(drive / "run"))
    with RunLock(store, beat_seconds=0.01) as lock:
        drive.rename(tmp_path / "away")
        time.sleep(0.1)
        assert not drive.exists()
        assert not lock.held.check()
        (tmp_path / "away").rename(drive)
        first = store.get("lock.json")
        wait_until(lambda: store.get("lock.json") != first)
    assert not list((drive / "run").iterdir())


def test_the_lock_of_a_store_that_only_arrow_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock.fs, "LocalFileSystem", type("Another", (), {}))
    store = lock_store(f"file://{tmp_path}/run")
    monkeypatch.undo()
    assert type(store).__name__ == "_ArrowStore"
    with RunLock(store, beat_seconds=0.01) as lock:
        assert lock.held.check()
        with pytest.raises(UserError, match="another run is writing there"):
            RunLock(store).__enter__()
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("age", [-3600, 0, 3600])
def test_another_machine_s_run_that_is_silent_is_dead_whatever_the_clocks_say(
    store: Store, capsys: pytest.CaptureFixture[str], age: float
) -> None:
    store.put("lock.json", _lock(host="elsewhere", age=age), content_type="")
    with RunLock(store, watch_seconds=0.2):
        assert _owner(store) != "other"
    said = capsys.readouterr().out
    assert "waiting 0.2 s" in said
    assert "taking over from a run that has died (process 1 on elsewhere)" in said


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
        wait_until(lambda: store.get("lock.json") != first)


def test_a_run_whose_lock_was_taken_stops_and_leaves_the_lock_to_the_other(store: Store) -> None:
    with RunLock(store, beat_seconds=0.01) as lock:
        lock.check()
        other = _lock(host="elsewhere", pid=7)

        def is_taken() -> bool:  # put again and again, as a beat may come between
            store.put("lock.json", other, content_type="")
            return lock._lost is not None

        wait_until(is_taken)
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
            wait_until(lambda: len(failures) > 2)
        lock.check()
        wait_until(lambda: store.get("lock.json") != first)
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
    assert "does not answer, so its lock.json is left there" in capsys.readouterr().out
    assert keys(store) == ["lock.json"]
    # Should it answer while the process is there, the lock goes.
    back.set()
    lock._thread.join(30)
    assert keys(store) == []


def _owner(store: Store) -> Any:
    return json.loads(store.get("lock.json") or b"{}").get("owner")


def _lock(*, age: float = 0, **other: Any) -> bytes:
    """The lock of another process, of this machine unless it says so."""
    pid = other.get("pid", 1)
    here = run_lock._this_process() | {"pid": pid, "started": run_lock._started(pid) or 0}
    content = {"owner": "other", **here, "beat": time.time() - age, **other}
    return json.dumps(content).encode()
