"""Stores to test: a local folder, and S3 in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import s3server
from botocore.retries.standard import ExponentialBackoff
from s3server import BUCKET, KEY_ID, PART, SECRET, Server

from rnnray.artifacts import Store, open_store, s3, s3_requests
from rnnray.progress import Every


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0.01)
    monkeypatch.setattr(s3, "_PART", PART)
    monkeypatch.setattr("rnnray.retry._PAUSE", 0.05)
    monkeypatch.setattr("rnnray.retry._LINE_SECONDS", 0.0)
    monkeypatch.setattr(s3_requests, "_often_enough", Every(0.0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with s3server.serve() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        yield server
    s3_requests._make_client.cache_clear()


@pytest.fixture
def bucket(server: Server) -> Store:
    return open_store(f"s3://{BUCKET}/runs/one/")


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(f"{tmp_path}/x/../runs/one/")
    found: Store = request.getfixturevalue("bucket")
    return found
