"""A run's folder: files of other runs and users are neither written over nor deleted."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from observed import refused

from rnnray.artifacts import Entry, Store, open_store
from rnnray.artifacts.local import LocalStore
from rnnray.chorale.generation import folder, provenance
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.plan import Plan
from rnnray.errors import UserError

CHECKPOINT = GenerationConfig(checkpoint="here")
PLAN = Plan("run", CHECKPOINT, model="abc", corpus="", given=np.zeros(4, np.int8), bach=())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


def keys(store: Store) -> list[str]:
    return [entry.key for entry in store.list()]


def put(store: Store, *keys: str) -> None:
    for key in keys:
        store.put(key, b"", content_type="")


def test_a_folder_of_something_else_is_refused(store: Store) -> None:
    put(store, "thesis.doc")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"not empty \(thesis.doc\)"):
            folder.saved_run(store, overwrite=overwrite)


def test_a_run_that_died_before_its_first_file_begins_again(store: Store) -> None:
    assert folder.saved_run(store) is None
    put(store, "lock.json")
    assert folder.saved_run(store) is None


def test_another_configuration_is_refused_with_all_that_differs(store: Store) -> None:
    folder.save(store, PLAN)
    saved = folder.saved_run(store)
    assert saved is not None
    asked = PLAN.asked()
    # Paths may change if their content is the same by its digests.
    folder.check_same(store, saved, asked | {"checkpoint": "there", "data": "elsewhere"})
    message = refused(folder.check_same, store, saved, asked | {"seed": 1, "model": "def"})
    assert "model ('abc' there, 'def' now), seed (0 there, 1 now)" in message
    assert "--overwrite" in message


def test_a_run_that_began_on_cpus_is_told_how_to_go_on_beside_gpus(store: Store) -> None:
    for began, now, helps in (("cpu", "gpu", True), ("gpu", "cpu", False)):
        saved: Any = PLAN.asked() | {"device": began}
        message = refused(folder.check_same, store, saved, PLAN.asked() | {"device": now})
        assert f"device ('{began}' there" in message
        assert ("--no-gpu" in message) is helps


def test_a_run_that_goes_on_keeps_its_kind_of_device(store: Store) -> None:
    folder.save(store, replace(PLAN, device="gpu"))
    saved = folder.saved_run(store)
    assert saved is not None
    assert folder.begun(store, saved, PLAN).device == "gpu"
    for planted in (None, "tpu", ["cpu"], {}):
        with pytest.raises(UserError, match=r"run.yaml: is damaged"):
            folder.begun(store, saved | {"device": planted}, PLAN)


def test_a_run_that_goes_on_says_with_what_else(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    now = provenance.made_with("cpu")
    assert now["numpy"] == np.__version__
    assert all(re.fullmatch(r"\d+\.\d+.*", now[name]) for name in ("rnnray", "tensorflow", "keras"))
    folder.save(store, PLAN, made_with=now | {"numpy": "1.0"})
    saved = folder.saved_run(store)
    assert saved is not None
    assert folder.begun(store, saved, PLAN) == PLAN, "it goes on all the same"
    provenance.say_differences(store, saved, now)
    assert f"numpy ('1.0' there, '{np.__version__}' now);" in capsys.readouterr().out
    unknown: tuple[dict[str, Any], ...] = ({}, {"made_with": ["planted"]}, {"made_with": now})
    for nothing in unknown:
        provenance.say_differences(store, nothing, now)
    assert capsys.readouterr().out == ""


def test_a_damaged_record_of_what_was_asked_is_named_and_can_be_started_over(store: Store) -> None:
    for damage in (b"", b"- 1\n", b"{"):
        store.put("run.yaml", damage, content_type="")
        with pytest.raises(UserError, match=r"run.yaml: is damaged; start over with --overwrite"):
            folder.saved_run(store)
        assert folder.saved_run(store, overwrite=True) == {}
        folder.save(store, PLAN, replaces=True)
        assert folder.saved_run(store) == PLAN.asked()


def test_of_two_runs_that_begin_at_once_one_is_told(store: Store) -> None:
    folder.save(store, PLAN)
    with pytest.raises(UserError, match=r"another run has begun there in the meantime; run again"):
        folder.save(store, replace(PLAN, model="def"))
    assert folder.saved_run(store) == PLAN.asked()


OURS = (
    *("summary.json", "index.html", "page/page.css", "page/page.js", "page/bach/figures.js"),
    *("page/temperature=1/0000.js", "temperature=0.8/000000.wav", "bach/0039.mid"),
    *("temperature=1e-05/1000000.musicxml", "bach/part-00000.parquet"),
    *("manifest/0.8/part-00000.parquet", "manifest/1e-05/part-00001.parquet"),
)


def test_starting_over_deletes_what_runs_write_and_nothing_else(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = [
        *("temperature=0.8/favourites/000000.wav", "temperature=0.8/000000.aiff", "notes.txt"),
        *("bach/notes.txt", "manifest/readme.md", "old/run.yaml", "temperature/000000.wav"),
        *("page/mine.js", "page/photos/0000.js", "page/temperature=1/mine.js"),
    ]
    put(store, "run.yaml", *OURS, *theirs)
    elsewhere = open_store(str(tmp_path / "elsewhere"))
    put(elsewhere, "000001.wav")
    Path(store.uri, "temperature=1").symlink_to(elsewhere.uri)
    folder.clear(store)
    assert keys(store) == sorted([*theirs, "run.yaml", "temperature=1"])
    assert keys(elsewhere) == ["000001.wav"]
    assert f"deleted {len(OURS) - 1} files" in capsys.readouterr().out  # and the summary


def test_starting_over_passes_by_keys_that_only_other_programs_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "run.yaml", "page/page.css")
    found = LocalStore.list

    def listed(self: LocalStore, prefix: str = "") -> Iterator[Entry]:
        yield from (Entry("page//page.css", 0), Entry("temperature=1\n/000000.wav", 0))
        yield from found(self, prefix)

    monkeypatch.setattr(LocalStore, "list", listed)
    folder.clear(store)
    assert store.size("page/page.css") is None


@pytest.mark.parametrize("deletions", range(0, len(OURS), 2))
def test_a_start_over_that_is_killed_leaves_a_run_that_can_be_started_over(
    store: Store, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    folder.save(store, PLAN)
    put(store, *OURS)
    delete = LocalStore.delete
    left = iter(range(deletions))

    def kill(self: LocalStore, key: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        delete(self, key)

    monkeypatch.setattr(LocalStore, "delete", kill)
    monkeypatch.setattr(folder, "_DELETED_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        folder.clear(store)
    assert folder.saved_run(store) == PLAN.asked()
    if deletions:
        assert not folder.is_complete(store)
    there = keys(store)
    if any(key.endswith(".parquet") for key in there):
        pieces = [key for key in OURS if key.endswith((".wav", ".mid", ".musicxml"))]
        assert set(pieces) <= set(there), "a part whose files are gone counts as whole"


def test_thousands_of_files_are_deleted_several_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "run.yaml", *(f"temperature=1/{index:06d}.mid" for index in range(48)))
    at_once = Barrier(8, timeout=20)
    delete = LocalStore.delete

    def delete_with_others(self: LocalStore, key: str) -> None:
        if key.startswith("temperature"):
            at_once.wait()
        delete(self, key)

    monkeypatch.setattr(LocalStore, "delete", delete_with_others)
    monkeypatch.setattr(folder, "_DELETED_AT_ONCE", 16)
    folder.clear(store)
    assert keys(store) == ["run.yaml"]
