import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rnnray.errors import UserError
from rnnray.sketch.data.quickdraw import TUTORIAL_URL, tutorial_folder

FILES = (
    "training.tfrecord-00000-of-00001",
    "eval.tfrecord-00000-of-00001",
    "training.tfrecord.classes",
    "eval.tfrecord.classes",
)
SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "quickdraw_tutorial_sample.tar.gz"


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return buffer.getvalue()


class Site:
    """A server of one file, and the number of times that it was asked for."""

    def __init__(self) -> None:
        site = self
        self.content = archive(*FILES)
        self.requests = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()
                self.wfile.write(site.content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/data/quickdraw_v1.tar.gz"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("RNNRAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def test_the_archive_is_fetched_once_and_then_read_without_a_network(
    site: Site, tmp_path: Path
) -> None:
    folder = tutorial_folder(site.url)
    assert folder == tmp_path / "cache" / "quickdraw" / "quickdraw_v1"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    (tmp_path / "cache" / "quickdraw" / "quickdraw_v1.tar.gz").unlink()
    assert tutorial_folder(site.url) == folder
    assert site.requests == 1


def test_an_archive_that_was_put_there_by_hand_is_used(site: Site, tmp_path: Path) -> None:
    by_hand = tmp_path / "cache" / "quickdraw" / "quickdraw_v1.tar.gz"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(archive(*FILES, "more"))
    assert (tutorial_folder(site.url) / "more").is_file()
    assert site.requests == 0


@pytest.mark.parametrize(
    ("left_out", "pattern"),
    [("training", "training.tfrecord-*"), ("eval", "eval.tfrecord-*"), ("*", "*.tfrecord.classes")],
)
def test_an_archive_without_the_files_is_a_clear_error(
    site: Site, left_out: str, pattern: str
) -> None:
    names = (
        FILES[:2]
        if left_out == "*"
        else [x for x in FILES if not x.startswith(left_out + ".tfrecord-")]
    )
    site.content = archive(*names)
    for _ in range(2):  # also from the cache
        with pytest.raises(UserError) as caught:
            tutorial_folder(site.url)
        message = str(caught.value)
        assert f"has no {pattern}; delete the folder" in message
        assert "\n" not in message


def test_a_login_page_instead_of_the_archive_is_a_clear_error(site: Site) -> None:
    site.content = b"<html>Please log in to the hotel's network</html>"
    with pytest.raises(UserError, match=r"quickdraw_v1\.tar\.gz: a damaged .* delete it"):
        tutorial_folder(site.url)


def test_without_a_network_the_user_learns_where_to_put_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNRAY_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UserError) as caught:
        tutorial_folder()
    target = tmp_path / "quickdraw" / "quickdraw_tutorial_dataset_v1.tar.gz"
    assert f"download {TUTORIAL_URL} yourself and put it at {target}" in str(caught.value)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the real sample is not here")
def test_the_real_sample_unpacks(site: Site) -> None:
    site.content = SAMPLE.read_bytes()
    folder = tutorial_folder(site.url)
    assert len(list(folder.glob("training.tfrecord-*"))) == 10
    assert len(list(folder.glob("eval.tfrecord-*"))) == 10
    assert len((folder / "training.tfrecord.classes").read_text().splitlines()) == 345
