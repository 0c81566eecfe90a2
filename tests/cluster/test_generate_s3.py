"""Batch generation into a real S3 server: what its objects say, and a page for a private bucket."""

import hashlib
import json
import re
import time
import urllib.request
from typing import Any

import boto3
import pytest
from object_store import ObjectStore
from tiny import RunJob
from tiny_chorale import TrainedChorale

PREFIX = "listened/run-1/"


class Objects:
    """What the run has in the bucket."""

    def __init__(self, settings: ObjectStore) -> None:
        self._bucket = settings.bucket
        self._s3 = boto3.client("s3")  # the settings are in the environment

    def about(self, key: str) -> tuple[str, dict[str, str]]:
        """Content type and metadata."""
        head = self._s3.head_object(Bucket=self._bucket, Key=PREFIX + key)
        about = head["Metadata"]
        assert re.fullmatch(r"[0-9a-f]{64}", about.pop("sha256"))
        return head["ContentType"], about

    def stamps(self) -> dict[str, Any]:
        """Of all keys, when they were written, to the second."""
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=PREFIX)
        assert not listed["IsTruncated"]
        return {
            entry["Key"].removeprefix(PREFIX): entry["LastModified"] for entry in listed["Contents"]
        }

    def page(self) -> str:
        """Of index.html, the content."""
        answer = self._s3.get_object(Bucket=self._bucket, Key=f"{PREFIX}index.html")
        return str(answer["Body"].read().decode())


@pytest.fixture
def objects(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """With the store's settings in this process and in the workers of its jobs."""
    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    # As `ray job submit --runtime-env-json` hands them on.
    job = {"runtime_env": {"env_vars": dict(object_store)}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    return Objects(object_store)


def fetch(link: str) -> tuple[str, bytes]:
    """Content type and content, as a browser gets them: without credentials."""
    with urllib.request.urlopen(link) as answer:
        return answer.headers["Content-Type"], answer.read()


def content_of(script: bytes) -> Any:
    """What a script hands to the page."""
    call = script.decode().strip()
    return json.loads(f"[{call.removeprefix('rnnrayData(').removesuffix(')')}]")[1]


def test_links_let_a_browser_hear_a_private_bucket_and_can_be_withdrawn(
    run_job: RunJob,
    run_here: RunJob,
    objects: Objects,
    object_store: ObjectStore,
    trained_chorale: TrainedChorale,
) -> None:
    arguments = (
        *("--checkpoint", str(trained_chorale.checkpoint), "--data", str(trained_chorale.corpus)),
        *("--temperatures", "0.8", "--count", "3", "--chords", "8", "--formats", "wav"),
        *("--instrument", "sine", "--output", object_store.uri("listened"), "--name", "run-1"),
    )
    ended = run_job("generate_chorales", *arguments, "--presign-hours", "1", timeout=300)
    assert ended.code == 0, ended.err

    model = (trained_chorale.checkpoint / "model.keras").read_bytes()
    common = {"run": "run-1", "model": hashlib.sha256(model).hexdigest()}
    chorale = common | {"temperature": "0.8", "index": "2"}
    assert objects.about("temperature=0.8/000002.wav") == ("audio/wav", chorale)
    kind, about = objects.about("manifest/0.8/part-00000.parquet")
    about.pop("put")  # by which a conditional put knows its own object
    assert (kind, about) == ("application/vnd.apache.parquet", common | {"temperature": "0.8"})
    assert objects.about("index.html") == ("text/html; charset=utf-8", common)

    kind, index = fetch(ended.result["page"])
    assert kind == "text/html; charset=utf-8"
    found = re.search(r'<script type="application/json" id="run">(.*?)</script>', index.decode())
    assert found
    group = json.loads(found[1])["groups"][0]
    kind, script = fetch(group["data"])
    assert kind == "text/javascript; charset=utf-8"
    _, script = fetch(content_of(script)["chunks"][0])
    _, files = content_of(script)[2]
    kind, recording = fetch(files["wav"])
    assert kind == "audio/wav"
    assert recording.startswith(b"RIFF")

    before = objects.stamps()
    time.sleep(1.1)  # stamps are of whole seconds
    ended = run_here("generate_chorales", *arguments)
    assert ended.code == 0, ended.err
    assert (ended.result["written"], ended.result["found"]) == (0, 3)
    after = objects.stamps()
    assert after.keys() == before.keys()
    rewritten = {key for key in after if after[key] != before[key]}
    assert "index.html" in rewritten
    assert all(key == "index.html" or key.startswith("page/") for key in rewritten)
    assert "X-Amz" not in objects.page()
    assert 'src="page/page.js"' in objects.page()
