import hashlib
import multiprocessing
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fileserver import CONTENT, HALF, Server, only_file

from rnnray import download as module
from rnnray.download import download, locked
from rnnray.errors import UserError


def ranges(server: Server) -> list[str | None]:
    return [request.get("Range") for request in server.requests]


def leave_half(server: Server, target: Path) -> None:
    """A run that ends in the middle: every connection breaks there."""
    server.drops = [HALF] + [0] * 10
    with pytest.raises(UserError):
        download(server.url, target)
    server.drops.clear()
    server.requests.clear()


def test_broken_connections_are_resumed_within_a_run(server: Server, tmp_path: Path) -> None:
    steps = [100_000] * 8  # more breaks than tries: each one brought something
    server.drops = list(steps)
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert ranges(server) == [None, *(f"bytes={100_000 * (i + 1)}-" for i in range(8))]
    assert server.requests[1]["If-Range"] == '"one"'


def test_the_next_run_goes_on_where_the_last_one_ended(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    leave_half(server, target)
    assert not target.exists()
    download(server.url, target, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={HALF}-"]
    assert only_file(target)


@pytest.mark.parametrize(
    ("server_has", "asked"),
    [
        ({"ranges": False, "drops": [HALF]}, [None, f"bytes={HALF}-"]),
        ({"chunked": True, "drops": [HALF]}, [None, None]),
        ({"align": 300_000, "drops": [HALF]}, [None, f"bytes={HALF}-", None]),
        ({"status": [500, 503, 429, 408]}, [None] * 5),
    ],
    ids=["no ranges", "no length", "ranges from elsewhere", "trouble"],
)
def test_whatever_the_server_has_the_file_is_whole_and_nothing_in_it_twice(
    server: Server, tmp_path: Path, server_has: dict[str, Any], asked: list[str | None]
) -> None:
    vars(server).update(server_has)
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert ranges(server) == asked


@pytest.mark.parametrize("checks_if_range", [True, False])
@pytest.mark.parametrize("new", [CONTENT[::-1], b"short", CONTENT[::-1] * 2])
@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_two_versions_of_a_file_are_never_glued_together(
    server: Server, tmp_path: Path, checks_if_range: bool, new: bytes, header: str
) -> None:
    server.checks_if_range = checks_if_range
    server.headers = {header: '"one"' if header == "ETag" else "Mon, 01 Jan 2018 00:00:00 GMT"}
    leave_half(server, tmp_path / "file")
    server.content = new
    server.headers = {header: '"two"' if header == "ETag" else "Tue, 02 Jan 2018 00:00:00 GMT"}
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == new


def test_a_file_that_grew_is_noticed_even_where_the_server_says_nothing_of_versions(
    server: Server, tmp_path: Path
) -> None:
    leave_half(server, tmp_path / "file")
    server.content, server.headers = CONTENT[::-1] + b"more", {}
    server.checks_if_range = False
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1] + b"more"


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_validator_a_part_is_not_trusted(
    server: Server, tmp_path: Path, headers: dict[str, str]
) -> None:
    server.headers = headers
    leave_half(server, tmp_path / "file")
    server.content = CONTENT[::-1]
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]
    assert ranges(server) == [None]


@pytest.mark.parametrize("note", [None, "", '{"valid', "[]", '{"other": 1}'])
def test_a_part_whose_note_is_lost_or_damaged_is_not_trusted(
    server: Server, tmp_path: Path, note: str | None
) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * HALF)
    if note is not None:
        (tmp_path / "file.part.json").write_text(note)
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_complete_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    leave_half(server, tmp_path / "file")
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "file", size=len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={len(CONTENT)}-"]  # answered with 416


def test_a_part_that_is_too_long_is_thrown_away(server: Server, tmp_path: Path) -> None:
    leave_half(server, tmp_path / "file")
    (tmp_path / "file.part").write_bytes(CONTENT + b"too much")
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_promises_more_than_it_has_gives_no_file(
    server: Server, tmp_path: Path
) -> None:
    server.extra_length = 1000
    server.ranges = False
    with pytest.raises(UserError, match=f"closed after {len(CONTENT)} of {len(CONTENT) + 1000} b"):
        download(server.url, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert len(server.requests) == module._TRIES


def test_a_server_that_stays_in_trouble_is_given_up(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = [500] * 100
    with pytest.raises(UserError, match=r"500.*put it at"):
        download(server.url, tmp_path / "file")
    assert len(server.requests) == module._TRIES
    assert capsys.readouterr().err.count("trying again") == module._TRIES - 1


def test_a_server_that_falls_silent_does_not_hang_the_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(module, "_TRIES", 2)
    server.ranges = False
    server.pause = 0.3
    with pytest.raises(UserError, match="connection broken after 65536 bytes: timed out"):
        download(server.url, tmp_path / "file", size=len(CONTENT))
    assert (tmp_path / "file.part").stat().st_size == 65536


def test_a_full_disk_is_a_clear_error_and_keeps_what_there_is(
    server: Server, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, hard))  # no file may grow beyond
    try:
        with pytest.raises(UserError, match=r"File too large.*RNNRAY_CACHE") as caught:
            download(server.url, tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "file") in str(caught.value)
    assert (tmp_path / "file.part").stat().st_size == HALF
    server.requests.clear()
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={HALF}-"]


def test_ctrl_c_keeps_the_part_for_the_next_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_progress: object, done: int, _total: int | None) -> None:
        if done >= HALF:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module._Progress, "at", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(server.url, tmp_path / "file")
    kept = (tmp_path / "file.part").stat().st_size
    assert HALF <= kept < len(CONTENT)
    server.requests.clear()
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={kept}-"]


def test_processes_that_download_at_once_share_one_download(server: Server, tmp_path: Path) -> None:
    server.pause = 0.02
    program = "import sys; from pathlib import Path; from rnnray.download import download; "
    program += "download(sys.argv[1], Path(sys.argv[2]))"
    command = [sys.executable, "-c", program, server.url, str(tmp_path / "file")]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=30) for process in processes] == [0, 0, 0]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_child_process_does_not_keep_the_lock_of_a_finished_download(tmp_path: Path) -> None:
    with locked(tmp_path / "file"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        child.start()
    try:
        waiting = threading.Thread(
            target=lambda: locked(tmp_path / "file").__enter__(), daemon=True
        )
        waiting.start()
        waiting.join(5)
        assert not waiting.is_alive()
        assert child.is_alive()
    finally:
        child.terminate()
        child.join()


def test_who_has_to_wait_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()

    def wait() -> None:
        with locked(tmp_path / "file"):
            entered.set()

    waiting = threading.Thread(target=wait)
    with locked(tmp_path / "file"):
        waiting.start()
        assert not entered.wait(0.2)
    waiting.join(10)
    assert entered.is_set()
    assert capsys.readouterr().err == "file: another process is working on it; waiting\n"
