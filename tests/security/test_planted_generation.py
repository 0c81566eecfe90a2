"""What a stranger puts into a generation run's folder runs nothing and leads nowhere else."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnray.artifacts import Store, open_store
from rnnray.chorale.generation import folder, manifest
from rnnray.chorale.generation.plan import Part
from rnnray.errors import UserError
from rnnray.run_lock import RunLock

PART = Part(0.8, 0, 0, 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


def rows() -> list[dict[str, Any]]:
    """A manifest of two chorales."""
    return [
        {
            "index": index,
            "temperature": 0.8,
            "seed": 0,
            "checkpoint": "abc",
            "chords": [72, 67, 60, 48] * 8,
            "nats_per_note": 0.5,
            **dict.fromkeys(manifest.STATISTICS, 0.0),
            "files": [{"key": PART.key(index, "mid"), "size": 100, "sha256": "abc"}],
        }
        for index in (0, 1)
    ]


def put(store: Store, planted: list[dict[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(planted, manifest.SCHEMA), sink)
    store.put(PART.manifest, sink.getvalue().to_pybytes(), content_type="")


def test_a_manifest_is_read_as_it_was_written(store: Store) -> None:
    put(store, rows())
    read = list(manifest.read(store, [PART]))
    assert [row["files"] for row in read] == [row["files"] for row in rows()]
    assert np.array_equal(read[0]["chords"], [[72, 67, 60, 48]] * 8)


@pytest.mark.parametrize(
    "key",
    [
        *("../../../etc/passwd", "/etc/passwd", "temperature=0.8/../../x.mid", "x.mid", ""),
        *("javascript:alert(1)", "https://elsewhere/x.wav", "temperature=0.8/000001.mid", None),
    ],
)
def test_a_manifest_that_names_files_elsewhere_is_refused(store: Store, key: str | None) -> None:
    planted = rows()
    planted[0]["files"][0]["key"] = key
    put(store, planted)
    with pytest.raises(UserError, match=r"part-00000\.parquet: is missing or damaged"):
        list(manifest.read(store, [PART]))


@pytest.mark.parametrize(
    "change",
    [
        {"index": 7},
        {"index": -1},
        {"files": None},
        {"files": [{"key": PART.key(0, "mid"), "size": None, "sha256": ""}]},
        {"chords": None},
        {"chords": []},
        {"chords": [60, 60, 60]},
        {"chords": [60, 60, 60, 1000]},
        {"chords": [60, 60, 60, -1]},
    ],
)
def test_a_manifest_that_is_not_its_part_s_is_refused(store: Store, change: Any) -> None:
    planted = rows()
    planted[0] |= change
    put(store, planted)
    with pytest.raises(UserError, match=r"part-00000\.parquet: is missing or damaged"):
        list(manifest.read(store, [PART]))


def test_a_pickle_as_manifest_run_or_lock_does_not_run(store: Store, evil_pickle: bytes) -> None:
    for key in (PART.manifest, "run.yaml", "lock.json"):
        store.put(key, evil_pickle, content_type="")
    with pytest.raises(UserError, match="is missing or damaged"):
        list(manifest.read(store, [PART]))
    with pytest.raises(UserError, match=r"run\.yaml: is damaged"):
        folder.saved_run(store)
    with RunLock(store):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir ['{canary}']",
        "a: &a [1]\nb: *a",
        "a: " + "[" * 3000,
        "a: 2024-99-99",
        "- 1",
    ],
)
def test_a_planted_run_yaml_is_one_line(store: Store, canary: Path, text: str) -> None:
    store.put("run.yaml", text.replace("{canary}", str(canary)).encode(), content_type="")
    with pytest.raises(UserError, match=r"run\.yaml: is damaged") as caught:
        folder.saved_run(store)
    assert len(caught.value.args[0].splitlines()) == 1


@pytest.mark.parametrize(
    "planted",
    [
        {"beat": "soon"},
        {"beat": [1.0]},
        {"pid": "1"},
        {"pid": 1 << 70},
        {"pid": -1},
        {"host": 7},
        {"host": "\x1b[2J\n"},
        {"owner": None},
    ],
)
def test_a_planted_lock_is_nobody_s(store: Store, planted: dict[str, Any]) -> None:
    lock = {"owner": "other", "host": "elsewhere", "pid": 1, "beat": time.time()} | planted
    store.put("lock.json", json.dumps(lock).encode(), content_type="")
    with RunLock(store):
        pass
    store.put("lock.json", b"[" * 100_000, content_type="")
    with RunLock(store):
        pass
