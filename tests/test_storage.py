import re
from pathlib import Path

import pytest
from observed import contents, refused

from rnnray import storage, whole_file


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_all_files_below_a_folder_are_listed_in_order_and_hidden_ones_are_not(
    tmp_path: Path,
) -> None:
    data = tmp_path / ".cache" / "_data"  # what lies above the folder hides nothing
    seen = ("a.txt", "b/10.txt", "b/9.txt", "b/c/d.txt", "z.txt")
    fill(data, *seen, ".hidden", "_SUCCESS", "b/.part", ".git/config", "_temporary/0.txt")
    filesystem, paths = storage.list_files(str(data))
    assert filesystem.type_name == "local"
    assert paths == [str(data / name) for name in seen]


def test_a_path_may_end_with_a_slash_go_up_or_be_a_uri(tmp_path: Path) -> None:
    fill(tmp_path, "data/a", "data/b/c", "other/x")
    for uri in (f"{tmp_path}/data/", f"{tmp_path}/other/../data", f"file://{tmp_path}/data/"):
        _, paths = storage.list_files(uri)
        assert [Path(path).resolve() for path in paths] == [
            tmp_path / "data/a",
            tmp_path / "data/b/c",
        ]


def test_one_file_is_listed_even_if_it_is_hidden(tmp_path: Path) -> None:
    fill(tmp_path, ".a", "b")
    assert storage.list_files(str(tmp_path / ".a"))[1] == [str(tmp_path / ".a")]


def test_a_relative_path_and_one_in_the_home_folder_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert storage.absolute("x/y") == str(tmp_path / "x/y")
    assert storage.absolute("~/y") == str(tmp_path / "home/y")
    assert storage.absolute("s3://bucket/key") == "s3://bucket/key"
    assert storage.join("s3://bucket/runs/", "a", "b.txt") == "s3://bucket/runs/a/b.txt"


@pytest.mark.parametrize(
    ("name", "what"),
    [("nothing", "no such file or folder"), ("empty", "has no files"), ("hidden", "has no files")],
)
def test_nothing_to_read_is_a_clear_error(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path, "hidden/.a")
    message = refused(storage.list_files, str(tmp_path / name))
    assert message.startswith(f"{tmp_path / name}: ")
    assert what in message


@pytest.mark.parametrize("uri", ["ftp://host/data", "nonsense://x", "://"])
def test_a_scheme_that_is_not_known_is_a_clear_error(uri: str) -> None:
    assert refused(storage.open_uri, uri).startswith(f"{uri}: cannot be opened (")


def test_what_is_written_is_read_back_and_its_folder_is_made(tmp_path: Path) -> None:
    uri = str(tmp_path / "new" / "folder" / "with a space.bin")
    assert storage.read_bytes(uri) is None
    for content in (b"\x00\xff first", b""):  # the second replaces the first
        storage.write_bytes(uri, content)
        assert storage.read_bytes(uri) == content
    assert contents(tmp_path) == {"new/folder/with a space.bin": b""}
    assert storage.read_bytes(str(tmp_path / "new")) is None


def test_a_write_that_breaks_off_leaves_what_was_there_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write(path, content[:2])
        raise OSError(28, "No space left on device\nand more")

    storage.write_bytes(str(tmp_path / "old"), b"whole")
    monkeypatch.setattr(Path, "write_bytes", full)
    for name in ("old", "new"):
        text = refused(storage.write_bytes, str(tmp_path / name), b"whole")
        assert re.match(rf"{tmp_path / name}: cannot be written .*No space left", text)
    assert contents(tmp_path) == {"old": b"whole"}


def test_nobody_sees_a_file_under_its_name_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_name, seen = whole_file.name, []

    def watched(temporary: Path, path: Path, **options: bool) -> None:
        seen.extend((found.name, found.read_bytes()) for found in path.parent.iterdir())
        give_name(temporary, path, **options)

    monkeypatch.setattr(whole_file, "name", watched)
    (tmp_path / "source").mkdir()
    fill(tmp_path, "source/file")
    for content in (b"weights", tmp_path / "source" / "file"):
        uri = str(tmp_path / "target" / "model")
        if isinstance(content, Path):
            storage.put_file(content, uri)
        else:
            storage.write_bytes(uri, content)
    (first, what), *others = seen
    assert what == b"weights"
    assert first.startswith(".")  # hidden, so that `list_files` leaves it out too
    assert dict(others)["model"] == b"weights"
    assert contents(tmp_path / "target") == {"model": b"source/file"}


def test_storage_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    # Below a regular file nobody can write, not even root.
    for uri in (str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        assert re.match(f"{uri}.*cannot be written", refused(storage.check_writable, uri))
    assert contents(tmp_path) == {"file": b"file"}


def test_a_folder_in_the_way_is_a_clear_error_and_stays(tmp_path: Path) -> None:
    fill(tmp_path, "model/inside")
    assert "cannot be written" in refused(storage.write_bytes, str(tmp_path / "model"), b"weights")
    assert contents(tmp_path) == {"model/inside": b"model/inside"}


def test_the_check_for_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    storage.check_writable(str(tmp_path / "runs"))
    assert contents(tmp_path) == {}


def test_a_folder_is_copied_whole(tmp_path: Path) -> None:
    names = ("config.yaml", "model/weights", "model/.keep")
    fill(tmp_path / "source", *names)
    for uri in (f"{tmp_path}/local/x", f"file://{tmp_path}/uri/x"):
        storage.copy_folder(tmp_path / "source", uri)
        there = storage.fetch_folder(uri, tmp_path / "unused")
        assert contents(there) == contents(tmp_path / "source")
    assert not (tmp_path / "unused").exists()  # a local folder needs no copy
