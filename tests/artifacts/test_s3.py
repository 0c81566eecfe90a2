"""Artifacts in S3 while servers and networks fail."""

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import s3server
from s3server import PART, SECRET, Server, put, refused

from rnnray.artifacts import Exists, Store, guarded, open_store, s3, s3_requests
from rnnray.errors import UserError


def test_type_and_metadata_arrive_and_a_link_needs_no_credentials(
    bucket: Store, server: Server
) -> None:
    about = {"temperature": "0.8", "run": "Übung 100%"}
    bucket.put("a b/ä.wav", b"RIFF", content_type="audio/wav", metadata=about)
    content, headers = server.objects["runs/one/a b/ä.wav"]
    assert content == b"RIFF"
    assert headers["Content-Type"] == "audio/wav"
    assert headers["x-amz-meta-temperature"] == "0.8"
    assert headers["x-amz-meta-run"] == "%C3%9Cbung 100%25"
    link = bucket.presign("a b/ä.wav", 1.5)
    assert "X-Amz-Expires=5400" in link
    assert SECRET not in link
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"RIFF"
    for hours in (0, -1, 169, float("nan")):
        with pytest.raises(UserError, match="168 hours"):
            bucket.presign("a", hours)


@pytest.mark.parametrize(
    "settings",
    [
        {"AWS_SESSION_TOKEN": "a/token+of=="},
        {"AWS_ENDPOINT_URL_S3": "", "AWS_DEFAULT_REGION": "eu-central-1"},
        {"AWS_ENDPOINT_URL_S3": "https://host.example/below"},
    ],
)
@pytest.mark.parametrize("name", ["bucket", "dotted.bucket", "bucket--use1-az4--x-s3"])
def test_every_link_is_the_one_that_botocore_makes(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, str]
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    store = open_store(f"s3://{name}/run 1")
    key = "temperature=0.8/\u00fc~ ('&+?#%!*).wav"
    target = {"Bucket": name, "Key": f"run 1/{key}"}

    def expected() -> str:
        link: str = s3_requests.client().generate_presigned_url(
            "get_object", Params=target, ExpiresIn=3600
        )
        return link

    # Both have the time in them, to the second.
    before, link, after = expected(), store.presign(key, 1), expected()
    assert link in (before, after) or before != after


def test_links_by_the_thousand_are_asked_of_botocore_once_a_second_at_most(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    presigned = type(s3_requests.client()).generate_presigned_url

    def count(*arguments: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        return presigned(*arguments, **options)

    monkeypatch.setattr(type(s3_requests.client()), "generate_presigned_url", count)
    began = time.monotonic()
    assert len({bucket.presign(f"{number:06d}.wav", 1) for number in range(1000)}) == 1000
    assert 1 <= asked <= time.monotonic() - began + 2


def test_a_server_that_is_busy_one_time_in_ten_costs_nothing_and_needs_no_words(
    bucket: Store, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.busy_every = 10
    keys = [f"{number:03}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: put(bucket, key), keys))
        assert list(pool.map(bucket.get, keys)) == [key.encode() for key in keys]
    assert [entry.key for entry in bucket.list()] == keys
    assert len(server.requests) > 210
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "answer", [(429, "TooManyRequests"), (500, "InternalError"), (400, "RequestTimeout"),
               (504, "GatewayTimeout"), (409, "ConditionalRequestConflict")]
)  # fmt: skip
def test_what_may_pass_is_tried_again_more_often_than_boto_does(
    bucket: Store, server: Server, answer: tuple[int, str]
) -> None:
    server.answers = [answer] * 6
    bucket.put("a", b"1", content_type="text/plain", if_absent=True)
    assert bucket.get("a") == b"1"


def test_a_put_that_was_refused_is_not_tried_again_once_its_run_has_lost_the_lock(
    bucket: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "_VOUCH_SECONDS", 0.0)
    checks = iter([None, UserError("another run took over")])

    def check() -> None:
        if lost := next(checks):
            raise lost

    server.answers = [(503, "SlowDown")] * 8  # twice what boto sends by itself
    with pytest.raises(UserError, match="another run took over"):
        guarded.GuardedStore(bucket, check).put("a", b"late", content_type="text/plain")
    assert bucket.get("a") is None


def test_a_server_that_was_away_is_waited_for_and_the_wait_is_said(
    bucket: Store,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("rnnray.retry._SILENCE", 1.0)
    put(bucket, "before")
    server.away = True  # for those that are connected
    server.shutdown()
    server.server_close()
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(put, bucket, "after"), pool.submit(bucket.get, "before")]
        time.sleep(3)
        assert [each.exception() for each in waiting if each.done()] == []
        with s3server.serve(server.server_port) as again:
            again.objects = server.objects
            assert [each.result() for each in waiting] == [None, b"before"]
            assert again.objects["runs/one/after"][0] == b"after"
    out = capsys.readouterr().out
    line = f"s3://bucket/runs/one: waiting for the object store at 127.0.0.1:{server.server_port}"
    assert f"{line} (no connection), for up to 11" in out  # of 120 seconds
    assert "answers again" in out


def test_a_server_that_stays_away_is_given_up_with_one_line(
    bucket: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_requests, "_PATIENCE", 1.5)
    server.busy_every = 1
    text = refused(put, bucket, "a")
    assert f"at 127.0.0.1:{server.server_port} has not answered for " in text
    assert "HTTP status 503" in text


def test_an_answer_that_does_not_come_is_asked_for_again_and_said(
    bucket: Store,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(s3_requests, "_READ_TIMEOUT", 0.3)
    server.pauses = [1.0]
    put(bucket, "a")
    assert bucket.get("a") == b"a"
    assert "no answer from the object store yet" in capsys.readouterr().out


def test_content_that_breaks_off_is_read_again(bucket: Store, server: Server) -> None:
    content = bytes(range(256)) * 1000
    bucket.put("a", content, content_type="text/plain")
    server.cuts = [100_000]
    assert bucket.get("a") == content


@pytest.mark.parametrize("size", [1, PART + 1], ids=["small", "large"])
@pytest.mark.parametrize("if_absent", [False, True])
def test_a_put_whose_answer_was_lost_knows_its_own_object(
    bucket: Store, server: Server, size: int, if_absent: bool
) -> None:
    server.lose = "PUT" if size == 1 else "POST /bucket/runs/one/a?uploadId"
    bucket.put("a", bytes(size), content_type="text/plain", if_absent=if_absent)
    assert server.lose == ""
    assert bucket.size("a") == size


@pytest.mark.parametrize("size", [1, PART + 1], ids=["small", "large"])
def test_another_ones_object_is_not_taken_for_our_own_even_if_equal(
    bucket: Store, server: Server, size: int
) -> None:
    bucket.put("a", bytes(size), content_type="text/plain", if_absent=True)
    server.answers = [(503, "SlowDown")]
    with pytest.raises(Exists, match="s3://bucket/runs/one/a"):
        bucket.put("a", bytes(size), content_type="text/plain", if_absent=True)


def test_a_large_file_that_came_while_we_sent_ours_stays(
    bucket: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "a")
    head = s3.S3Store._head
    early = iter([True])  # our first look finds nothing yet
    monkeypatch.setattr(
        s3.S3Store, "_head", lambda self, key: None if next(early, False) else head(self, key)
    )
    with pytest.raises(Exists):
        bucket.put("a", bytes(PART + 1), content_type="text/plain", if_absent=True)
    assert bucket.get("a") == b"a"
    assert server.uploads == {}


def test_of_a_large_file_only_the_part_that_failed_is_sent_again(
    bucket: Store, server: Server, tmp_path: Path
) -> None:
    content = bytes(range(256)) * (2 * PART // 256) + b"end"
    (tmp_path / "large").write_bytes(content)
    server.lose = "partNumber=2"
    bucket.put("a", tmp_path / "large", content_type="audio/wav", metadata={"run": "x"})
    stored, headers = server.objects["runs/one/a"]
    assert stored == content
    assert (headers["Content-Type"], headers["x-amz-meta-run"]) == ("audio/wav", "x")
    sent = [request for request in server.requests if "partNumber" in request]
    assert [request.partition("partNumber=")[2][0] for request in sent] == ["1", "2", "2", "3"]


def test_a_large_file_that_fails_leaves_nothing_that_is_paid_for(
    bucket: Store, server: Server
) -> None:
    server.refuse = "partNumber=2"
    with pytest.raises(UserError, match="refuses access"):
        bucket.put("a", bytes(PART + 1), content_type="text/plain")
    assert server.uploads == {}
    assert server.objects == {}
