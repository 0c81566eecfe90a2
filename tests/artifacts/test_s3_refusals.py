"""What is said when S3 refuses, or when it is not there."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3server import KEY_ID, PART, SECRET, Server, put, refused

from rnnray.artifacts import Store, open_store, s3_requests

VERBS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("a", b"1", content_type="text/plain"),
    "put_if_absent": lambda store: store.put("a", b"1", content_type="", if_absent=True),
    "put_large": lambda store: store.put("a", bytes(PART + 1), content_type="text/plain"),
    "get": lambda store: store.get("a"),
    "size": lambda store: store.size("a"),
    "list": lambda store: list(store.list()),
    "delete": lambda store: store.delete("a"),
}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "AccessDenied"),
        (400, "ExpiredToken"),
        (401, "Unauthorized"),
    ],
)
def test_refused_credentials_are_one_line_at_once_without_them(
    bucket: Store, server: Server, status: int, code: str
) -> None:
    for verb in VERBS.values():
        server.requests, server.answers = [], [(status, code)] * 3
        text = refused(verb, bucket)
        assert text.startswith("s3://bucket/runs/one: ")
        assert "credentials" in text or status == 400
        # After a HEAD that says no more than "400" boto asks whether the region is another.
        assert len(server.requests) <= 2


def test_a_bucket_that_is_missing_is_one_line_at_once(server: Server) -> None:
    store = open_store("s3://missing/x")
    for verb in VERBS.values():
        server.requests = []
        missing = "s3://missing/x: there is no such bucket at 127.0.0.1:"
        assert refused(verb, store).startswith(missing)
        assert len(server.requests) <= 3


def test_no_credentials_at_all_is_one_line_that_says_what_to_set(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for use in (bucket.get, lambda key: bucket.presign(key, 1)):
        assert "AWS_ACCESS_KEY_ID" in refused(use, "a")


def test_settings_that_make_no_client_are_one_line(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"{KEY_ID}:{SECRET}@host")
    assert "http://host:port" in refused(bucket.get, "a")
    monkeypatch.setenv("AWS_PROFILE", "unheard-of")
    assert "AWS_PROFILE" in refused(bucket.get, "a")


def test_a_server_that_is_not_s3_is_one_line(bucket: Store, server: Server) -> None:
    server.html = True
    text = refused(put, bucket, "a")
    assert "check that AWS_ENDPOINT_URL_S3 is an S3 service" in text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (507, "is full; free some space, then run again"),
        (520, "fails (520); check it, then run again"),
        (501, "check that AWS_ENDPOINT_URL_S3 is an S3 service"),
    ],
)
def test_a_server_that_fails_is_not_taken_for_another_service(
    bucket: Store, server: Server, status: int, words: str
) -> None:
    server.answers = [(status, "InsufficientStorage")] * 3
    assert words in refused(put, bucket, "a")
    assert len(server.requests) <= 2


def test_boto_writes_nothing_into_logs_whatever_their_level(
    bucket: Store, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [(503, "SlowDown")] * 2
    put(bucket, "a")
    assert bucket.get("a") == b"a"
    assert caplog.text == ""


def test_threads_share_one_client(bucket: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)

        def client(_: int) -> object:
            barrier.wait()
            return s3_requests.client()

        assert len(set(map(id, pool.map(client, range(8))))) == 1
