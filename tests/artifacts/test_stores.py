"""What a folder and a bucket have in common."""

import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3server import KEY_ID, PART, SECRET, put, refused

from rnnray.artifacts import Entry, Exists, Store, open_store, s3


def test_what_was_put_is_there_and_what_was_deleted_is_not(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file")
    put(store, "a/b.txt", "gone")
    store.put("c", tmp_path / "file", content_type="text/plain")
    store.put("c2", b"old", content_type="text/plain")
    store.put("c2", b"new", content_type="text/plain")
    store.delete("gone")
    store.delete("gone")
    store.delete("a/b.txt/never")
    assert [store.get(key) for key in ("a/b.txt", "c", "c2")] == [
        b"a/b.txt",
        b"from a file",
        b"new",
    ]
    assert [store.get(key) for key in ("gone", "a", "a/b.txt/x", "no/way")] == [None] * 4
    assert [store.size(key) for key in ("a/b.txt", "c", "gone", "a")] == [7, 11, None, None]
    assert list(store.list()) == [Entry("a/b.txt", 7), Entry("c", 11), Entry("c2", 3)]


def test_a_file_of_the_same_size_is_known_to_be_another(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"three")
    large = bytes(PART + 1)  # sent in parts
    contents: list[tuple[str, bytes | Path, bytes]] = [
        *(("a", b"first", b"first"), ("a", b"other", b"other")),
        *(("b", tmp_path / "file", b"three"), ("c", large, large)),
    ]
    for key, content, expected in contents:
        store.put(key, content, content_type="text/plain")
        assert store.sha256(key) == hashlib.sha256(expected).hexdigest()
    assert store.sha256("gone") is None


def test_keys_are_listed_in_one_order_everywhere_and_by_any_prefix(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAGE", 2)
    keys = ["a-b/x", "a.wav", "a/b", "a/b-", "a0", "t=0.8/01.wav", "t=0.8/10.mid", "t=1.0/ü &.wav"]
    put(store, *reversed(keys))
    assert [entry.key for entry in store.list()] == keys
    for prefix in ("a", "a/", "a/b", "t=0.8/", "t=0.8/1", "t=1.0/ü", "none", "none/none", "a.wav/"):
        expected = [key for key in keys if key.startswith(prefix)]
        assert [entry.key for entry in store.list(prefix)] == expected


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\nb", "a\0b"])
def test_a_key_cannot_lead_out_of_the_store(store: Store, key: str) -> None:
    for use in (store.get, store.size, store.delete):
        with pytest.raises(ValueError, match="not a key"):
            use(key)
    with pytest.raises(ValueError, match="not a key"):
        store.put(key, b"", content_type="text/plain")
    if key not in ("", "a/"):
        with pytest.raises(ValueError, match="not a key"):
            store.list(key)


def test_of_many_that_put_at_once_one_wins_and_its_content_stays(store: Store) -> None:
    def attempt(number: int) -> int | None:
        try:
            store.put("run.yaml", str(number).encode(), content_type="", if_absent=True)
        except Exists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(attempt, range(16)) if number is not None]
    assert len(winners) == 1
    assert store.get("run.yaml") == str(winners[0]).encode()


def test_a_store_travels_to_a_task_in_a_few_bytes_and_without_secrets(store: Store) -> None:
    put(store, "a")  # its client is there
    pickled = pickle.dumps(store)
    assert len(pickled) < 400
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).get("a") == b"a"


@pytest.mark.parametrize(
    "uri",
    [
        "gs://bucket/x",
        "s3://",
        "s3:///x",
        "s3://b",
        f"s3://{KEY_ID}:{SECRET}@bucket/x",
        f"s3://bucket/x?secret_key={SECRET}&access_key={KEY_ID}",
        "s3://bucket/a//b",
        "s3://bucket/../b",
        f"https://{KEY_ID}:{SECRET}@host/x",
    ],
)
def test_a_uri_that_is_no_store_is_one_line_without_the_secrets_in_it(uri: str) -> None:
    assert "s3://bucket/prefix" in refused(open_store, uri)


def test_uris_have_no_slash_at_their_end_and_folders_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_store("runs/").uri == f"{tmp_path}/runs"
    assert open_store("~/runs").uri == f"{tmp_path}/home/runs"
    assert open_store("s3://bucket/").uri == "s3://bucket"
    assert open_store("s3://bucket/a/b/").uri == "s3://bucket/a/b"
