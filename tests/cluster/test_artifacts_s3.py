"""Artifacts in a real S3 server."""

import subprocess
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from object_store import ObjectStore
from tiny import REPOSITORY

from rnnray.artifacts import Entry, Exists, Store, open_store, s3
from rnnray.errors import UserError


@pytest.fixture
def store(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty prefix in the bucket."""
    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    return open_store(object_store.uri("run", uuid.uuid4().hex))


def test_keys_are_listed_page_by_page_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"temperature=0.8/{number:06}.mid" for number in range(203)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"MThd", content_type="audio/midi"), keys))
    monkeypatch.setattr(s3, "_PAGE", 17)
    assert list(store.list()) == [Entry(key, 4) for key in keys]
    assert [entry.key for entry in store.list("temperature=0.8/0000")] == keys[:100]
    assert list(store.list("temperature=1.0/")) == []


def test_a_file_and_all_that_is_said_of_it_arrive_and_go(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF" + bytes(1000))
    about = {"temperature": "0.8", "index": "12", "run": "Übung 1"}
    key = "temperature=0.8/é &+.wav"
    store.put(key, file, content_type="audio/wav", metadata=about)
    assert (store.get(key), store.size(key)) == (file.read_bytes(), 1004)
    with urllib.request.urlopen(store.presign(key, 1)) as answer:
        assert answer.read() == file.read_bytes()
        assert answer.headers["Content-Type"] == "audio/wav"
        found = {name: answer.headers[f"x-amz-meta-{name}"] for name in about}
    assert found == about | {"run": "%C3%9Cbung 1"}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(
            store.presign(key, 1).replace("X-Amz-Expires=3600", "X-Amz-Expires=9")
        )
    store.delete(key)
    store.delete(key)
    assert (store.get(key), store.size(key), list(store.list())) == (None, None, [])


def test_a_large_file_arrives_in_parts_and_whole(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * (2 * s3._PART // 256) + b"end"
    (tmp_path / "large").write_bytes(content)
    store.put("a", content, content_type="audio/wav", metadata={"index": "1"})
    store.put("b", tmp_path / "large", content_type="audio/wav", if_absent=True)
    assert store.get("a") == content
    assert store.get("b") == content
    with urllib.request.urlopen(store.presign("a", 1)) as answer:
        assert answer.headers["Content-Type"] == "audio/wav"
        assert answer.headers["x-amz-meta-index"] == "1"


def test_what_is_there_is_not_overwritten_by_a_conditional_put(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("run.yaml", b"first", content_type="application/yaml", if_absent=True)
    head = s3.S3Store._head
    # A large one looks before it sends; it came in between.
    early = iter([True])
    for content in (b"second", bytes(s3._PART + 1)):
        if len(content) > s3._PART:
            monkeypatch.setattr(
                s3.S3Store,
                "_head",
                lambda self, key: None if next(early, False) else head(self, key),
            )
        with pytest.raises(Exists):
            store.put("run.yaml", content, content_type="application/yaml", if_absent=True)
        assert store.get("run.yaml") == b"first"


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_SECRET_ACCESS_KEY", "mistyped-secret"), ("AWS_ACCESS_KEY_ID", "test:nobody")],
)
def test_wrong_credentials_are_one_line_without_them(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    for use in (store.get, store.size, lambda key: store.put(key, b"", content_type="text/plain")):
        with pytest.raises(UserError, match="credentials") as caught:
            use("a")
        assert value not in str(caught.value)


def test_a_bucket_that_is_missing_is_one_line(store: Store) -> None:
    missing = open_store("s3://missing-bucket/run")
    for use in (missing.get, missing.size, lambda key: missing.put(key, b"", content_type="")):
        with pytest.raises(UserError, match="no such bucket"):
            use("a")


def test_what_was_put_survives_a_stop_and_a_put_in_the_middle_of_it_is_not_lost(
    store: Store, object_store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put("before", b"1", content_type="text/plain")
    object_store.stop()
    start = threading.Timer(8.0, object_store.start)
    start.start()
    try:
        store.put("after", b"2", content_type="text/plain", if_absent=True)
    finally:
        start.join()
    assert (store.get("before"), store.get("after")) == (b"1", b"2")
    assert "waiting for the object store" in capsys.readouterr().out


def test_a_port_that_is_taken_and_a_folder_in_use_are_one_line_each(
    object_store: ObjectStore, tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    script = REPOSITORY / "cluster" / "objectstore" / "swift.sh"
    taken = object_store["AWS_ENDPOINT_URL_S3"].rpartition(":")[2]
    for folder, port, expected in (
        (tmp_path, taken, f"port {taken} is not available"),
        (object_store.folder, str(free_ports(1)[0]), "is served already"),
        (tmp_path, "http", "not a port"),
    ):
        ended = subprocess.run(
            [script, "start", folder, port], check=False, capture_output=True, text=True
        )
        assert ended.returncode == 1
        assert expected in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
