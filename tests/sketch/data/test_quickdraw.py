from pathlib import Path

import pytest
from fileserver import Server, archive
from observed import refused

from rnnray.errors import UserError
from rnnray.sketch.data.quickdraw import TUTORIAL_URL, tutorial_folder

FILES = (
    "training.tfrecord-00000-of-00001",
    "eval.tfrecord-00000-of-00001",
    "training.tfrecord.classes",
    "eval.tfrecord.classes",
)


def tutorial(*names: str) -> bytes:
    return archive({name: name.encode() for name in names})


def test_the_archive_is_fetched_once_and_then_read_without_a_network(
    server: Server, cache: Path
) -> None:
    server.content = tutorial(*FILES)
    folder = tutorial_folder(server.url)
    assert folder == cache / "quickdraw" / "file"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    (cache / "quickdraw" / "file.tar.gz").unlink()
    assert tutorial_folder(server.url) == folder
    assert len(server.requests) == 1


def test_an_archive_that_was_put_there_by_hand_is_used(server: Server, cache: Path) -> None:
    by_hand = cache / "quickdraw" / "file.tar.gz"
    by_hand.parent.mkdir()
    by_hand.write_bytes(tutorial(*FILES, "more"))
    assert (tutorial_folder(server.url) / "more").is_file()
    assert server.requests == []


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (FILES[1:], "training.tfrecord-*"),
        (FILES[:1] + FILES[2:], "eval.tfrecord-*"),
        (FILES[:2], "*.tfrecord.classes"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_an_archive_without_the_files_is_a_clear_error(
    server: Server, names: tuple[str, ...], pattern: str
) -> None:
    server.content = tutorial(*names)
    for _ in range(2):  # also from the cache
        assert f"has no {pattern}; delete the folder" in refused(tutorial_folder, server.url)


@pytest.mark.usefixtures("cache")
def test_a_login_page_instead_of_the_archive_is_a_clear_error(server: Server) -> None:
    server.content = b"<html>Please log in to the hotel's network</html>"
    with pytest.raises(UserError, match=r"file\.tar\.gz: a damaged .* delete it"):
        tutorial_folder(server.url)


def test_without_a_network_the_user_learns_where_to_put_the_archive(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    target = cache / "quickdraw" / "quickdraw_tutorial_dataset_v1.tar.gz"
    told = f"download {TUTORIAL_URL} yourself and put it at {target}"
    assert told in refused(tutorial_folder)
