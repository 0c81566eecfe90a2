"""Artifacts in a local folder."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3server import put, refused

from rnnray.artifacts import Exists, open_store
from rnnray.errors import UserError


def test_a_full_disk_is_one_line_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    put(store, "a")
    write = Path.write_bytes

    def write_half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    for key in ("a", "b"):
        text = refused(store.put, key, b"longer content", content_type="text/plain")
        assert text.startswith(str(tmp_path))
        assert "its disk is full" in text
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"a")]


def test_a_real_full_disk_refuses_what_is_too_large_and_takes_the_rest(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from rnnray.artifacts import open_store
        from rnnray.errors import UserError
        store = open_store(sys.argv[1] + "/full")
        Path("large").write_bytes(bytes(400_000))
        for content in (bytes(400_000), Path("large")):
            try:
                store.put("large", content, content_type="")
            except UserError as error:
                print(error)
        store.put("small", bytes(1000), content_type="")
        print(sorted(path.name for path in Path(store.uri).iterdir()))
    """
    full = tmp_path / "disk"
    full.mkdir()
    script = f'mount -t tmpfs -o size=256k none {full} && exec "$@"'
    space = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    try:
        subprocess.run([*space, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk of one's own can be mounted here")
    command = [*space, sys.executable, "-c", code, str(full)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    *errors, left = ended.stdout.splitlines()
    assert (
        errors
        == [
            f"{full}/full: its disk is full, so large was not written; "
            "free some space, then run again"
        ]
        * 2
    )
    assert left == "['small']"


def test_files_of_a_put_that_was_killed_are_not_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    put(store, "a", ".b.part")
    (tmp_path / f".{'0' * 32}.part").write_bytes(b"half")
    assert [entry.key for entry in store.list()] == [".b.part", "a"]


def test_content_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power failure could leave a file that is there, and empty."""
    store = open_store(str(tmp_path / "store"))
    synced: list[int] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        assert list(store.list()) == []
        synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    (tmp_path / "file").write_bytes(b"four")
    for content in (b"content", tmp_path / "file"):
        for if_absent in (False, True):
            store.put("a", content, content_type="", if_absent=if_absent)
            store.delete("a")
    assert synced == [7, 7, 4, 4]


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_hard_links_takes_what_must_be_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    """As exFAT, SMB and mounted buckets are."""

    def refuse(path: Path, target: Path) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store = open_store(str(tmp_path))

    def attempt(content: bytes) -> bytes | None:
        try:
            store.put("run.yaml", content, content_type="", if_absent=True)
        except Exists:
            return None
        return content

    with ThreadPoolExecutor(8) as pool:
        winners = list(filter(None, pool.map(attempt, [b"%d" % number for number in range(32)])))
    assert winners == [store.get("run.yaml")]
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]

    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="its disk is full"):
        store.put("other", b"1", content_type="", if_absent=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_what_is_behind_a_link_to_a_folder_is_not_listed(tmp_path: Path) -> None:
    store, elsewhere = open_store(str(tmp_path / "store")), open_store(str(tmp_path / "elsewhere"))
    put(store, "b")
    put(elsewhere, "x")
    for name in ("a", "c"):
        Path(store.uri, name).symlink_to(elsewhere.uri)
    # But that it is there is: a folder that holds one is not empty.
    assert [entry.key for entry in store.list()] == ["a", "b", "c"]


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(str(tmp_path / "file"))
    for if_absent in (False, True):
        text = refused(store.put, "a/b", b"", content_type="text/plain", if_absent=if_absent)
        assert "cannot be written" in text
    with pytest.raises(UserError, match="s3://"):
        store.presign("a", 1)
