"""Whose folder it is: nothing of anybody else is written over or deleted, one run at a time."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rnnray.artifacts import Store, open_store
from rnnray.chorale.generation import folder
from rnnray.chorale.generation.lock import STALE_SECONDS, RunLock
from rnnray.errors import UserError

ASKED = {"checkpoint": "here", "data": "jsb", "seed": 0, "chords": 64, "model": "abc"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


def keys(store: Store) -> list[str]:
    return [entry.key for entry in store.list()]


def test_a_folder_of_something_else_is_refused(store: Store) -> None:
    store.put("thesis.doc", b"", content_type="")
    with pytest.raises(UserError, match=r"not empty \(thesis.doc\)"):
        folder.saved_run(store)


def test_a_run_that_died_before_its_first_file_begins_again(store: Store) -> None:
    assert folder.saved_run(store) is None
    store.put("lock.json", b"{}", content_type="")
    assert folder.saved_run(store) is None


def test_another_configuration_is_refused_with_all_that_differs(store: Store) -> None:
    folder.save(store, ASKED)
    saved = folder.saved_run(store)
    assert saved is not None
    # The places may move: what they hold is the same, as the digests say.
    folder.check_same(store, saved, ASKED | {"checkpoint": "there", "data": "elsewhere"})
    with pytest.raises(UserError) as error:
        folder.check_same(store, saved, ASKED | {"seed": 1, "model": "def"})
    assert "model ('abc' there, 'def' now), seed (0 there, 1 now)" in str(error.value)
    assert "--overwrite" in str(error.value)


def test_a_damaged_record_of_what_was_asked_is_named(store: Store) -> None:
    for damage in (b"", b"- 1\n", b"{"):
        store.put("run.yaml", damage, content_type="")
        with pytest.raises(UserError, match=r"run.yaml: is damaged"):
            folder.saved_run(store)


def test_starting_over_deletes_what_runs_write_and_nothing_else(store: Store) -> None:
    ours = [
        *("run.yaml", "summary.json", "index.html", "page/page.css", "page/temperature=1/0000.js"),
        *("temperature=0.8/000000.wav", "temperature=1e-05/1000000.musicxml", "bach/0039.mid"),
        *("bach/part-00000.parquet", "manifest/temperature=0.8/part-00000.parquet"),
    ]
    theirs = [
        *("temperature=0.8/favourites/000000.wav", "temperature=0.8/000000.flac", "notes.txt"),
        *("bach/notes.txt", "manifest/readme.md", "old/run.yaml", "temperature/000000.wav"),
    ]
    for key in (*ours, *theirs):
        store.put(key, b"", content_type="")
    folder.clear(store)
    assert keys(store) == sorted(theirs)


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


def test_a_run_on_another_machine_is_believed_to_live_until_it_was_silent_for_long(
    store: Store,
) -> None:
    store.put("lock.json", _lock(host="elsewhere", pid=1), content_type="")
    with pytest.raises(UserError, match="on elsewhere"):
        RunLock(store).__enter__()
    store.put("lock.json", _lock(host="elsewhere", age=STALE_SECONDS + 1), content_type="")
    with RunLock(store):
        pass


def test_a_run_of_this_machine_that_was_killed_does_not_keep_the_next_one_waiting(
    store: Store,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        store.put("lock.json", _lock(pid=pid), content_type="")
        with RunLock(store):
            assert json.loads(store.get("lock.json") or b"")["owner"] != "other"


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
        store.put("lock.json", _lock(host="elsewhere", pid=7), content_type="")
        _wait_until(lambda: lock._taken_by is not None)
        with pytest.raises(UserError, match=r"process 7 on elsewhere\) took over"):
            lock.check()
    assert json.loads(store.get("lock.json") or b"")["owner"] == "other"


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
