import hashlib
import os
import re
import socket
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest
from fileserver import CONTENT, HALF, Server, only_file
from observed import refused

from rnnray import download as module
from rnnray.download import cache_folder, download
from rnnray.errors import UserError


def test_the_file_arrives_byte_for_byte_and_nothing_else_is_left(
    server: Server, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "folder" / "file.tar.gz"
    digest = hashlib.sha256(CONTENT).hexdigest().upper()
    assert download(server.url, target, size=len(CONTENT), sha256=digest) == target
    assert target.read_bytes() == CONTENT
    assert only_file(target)


def test_a_file_that_is_there_costs_no_request(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"mine")
    assert download(server.url, target) == target
    assert download(server.url, target, size=4) == target
    assert target.read_bytes() == b"mine"
    assert server.requests == []
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_of_the_wrong_size_is_replaced(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"half of it")
    download(server.url, target, size=len(CONTENT))
    assert target.read_bytes() == CONTENT


def test_a_server_that_has_more_than_it_promises_gives_no_wrong_file(
    server: Server, tmp_path: Path
) -> None:
    server.extra_length = -1000
    with pytest.raises(UserError, match="sha256 is"):
        download(server.url, tmp_path / "file", sha256=hashlib.sha256(CONTENT).hexdigest())
    assert not (tmp_path / "file").exists()
    # Without a digest the promise is all there is to go by.
    assert download(server.url, tmp_path / "file").read_bytes() == CONTENT[:-1000]


def test_a_wrong_size_is_told_before_the_file_has_arrived(server: Server, tmp_path: Path) -> None:
    server.pause = 1.0
    began = time.monotonic()
    for server.chunked in (False, True):  # which tells its length, or not
        message = refused(download, server.url, tmp_path / "file", size=1234)
        assert f"size is {len(CONTENT)}, not 1234" in message
        assert {path.name for path in tmp_path.iterdir()} == {"file.lock"}
        assert time.monotonic() - began < 3
        server.pause = 0


def test_a_wrong_digest_is_told_with_both_and_removed(server: Server, tmp_path: Path) -> None:
    found, expected = hashlib.sha256(CONTENT).hexdigest(), "0" * 64
    message = refused(download, server.url, tmp_path / "file", sha256=expected)
    assert f"sha256 is {found}, not {expected}" in message
    assert server.url in message
    assert {path.name for path in tmp_path.iterdir()} == {"file.lock"}


def google_headers(content: bytes, encoding: str = "identity") -> dict[str, str]:
    md5 = b64encode(hashlib.md5(content).digest()).decode()
    return {
        "ETag": '"one"',
        "x-goog-hash": f"crc32c=n03x6A==,md5={md5}",
        "x-goog-stored-content-encoding": encoding,
    }


def test_the_digest_that_the_server_sends_is_checked(server: Server, tmp_path: Path) -> None:
    server.headers = google_headers(CONTENT)
    server.drops = [HALF]
    download(server.url, tmp_path / "good")
    server.headers = google_headers(b"something else")
    with pytest.raises(UserError, match="md5 is"):
        download(server.url, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    server.headers = google_headers(b"compressed in the store", encoding="gzip")
    download(server.url, tmp_path / "unpacked on the way")


def test_a_missing_file_is_told_at_once_with_what_to_do(server: Server, tmp_path: Path) -> None:
    server.status = [404]
    message = refused(download, server.url, tmp_path / "file")
    assert "404" in message
    assert f"download {server.url} yourself and put it at {tmp_path / 'file'}" in message
    assert "--data PATH" in message
    assert len(server.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_without_a_network_the_error_says_at_once_what_to_do_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # at which nobody listens from now on
    url, target = f"http://{host}:{port}/file", tmp_path / "file"
    began = time.monotonic()
    message = refused(download, url, target)
    assert time.monotonic() - began < 5
    assert f"{url}: no connection (" in message
    assert f"download {url} yourself and put it at {target}, or pass --data PATH" in message


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        (("file:///etc/passwd", "drawings.tar.gz", "ftp://host/file"), "not an http or https URL"),
        (("http://", "http://[", "http://host:port/", "http://a b/c"), "no connection|put it at"),
    ],
    ids=["not of the web", "malformed"],
)
def test_another_url_is_a_clear_error(tmp_path: Path, urls: tuple[str, ...], words: str) -> None:
    for url in urls:
        assert re.search(words, refused(download, url, tmp_path / "file"))


def test_a_cache_that_cannot_be_written_is_a_clear_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"blocked.*RNNRAY_CACHE"):
        download(server.url, tmp_path / "blocked" / "file")


def test_a_short_download_leaves_one_plain_line_in_a_log(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download(server.url, tmp_path / "file.tar.gz")
    captured = capsys.readouterr()
    assert re.fullmatch(r"file\.tar\.gz: 1\.0 of 1\.0 MB, \d+\.\d MB/s\n", captured.err)
    assert captured.out == ""


def test_a_long_download_says_now_and_then_how_far_it_is(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "_LINE_SECONDS", 0.1)
    server.pause = 0.03  # 16 blocks: half a second
    download(server.url, tmp_path / "file")
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 7
    done = [float(re.fullmatch(r"file: (\d\.\d) of 1\.0 MB, \d+\.\d MB/s", x)[1]) for x in lines]
    assert done == sorted(done)
    assert done[0] < done[-1] == 1.0


def test_on_a_terminal_there_is_a_bar(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    server.drops = [HALF]  # the message about it stands above the bar
    download(server.url, tmp_path / "file")
    err = capsys.readouterr().err
    assert "100%|" in err
    assert "1.05M/1.05M" in err
    assert f"file: connection closed after {HALF} of {len(CONTENT)} bytes; trying again" in err


def test_the_cache_goes_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RNNRAY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "rnnray"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_folder() == tmp_path / ".cache" / "rnnray"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "rnnray"
    monkeypatch.setenv("RNNRAY_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("RNNRAY_CACHE", "own")
    assert cache_folder() == Path.cwd() / "own"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RNNRAY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a uid without a name
    with pytest.raises(UserError, match="RNNRAY_CACHE"):
        cache_folder()
