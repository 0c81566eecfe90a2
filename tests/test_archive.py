import gzip
import io
import os
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observed import contents, refused

from rnnray.archive import extract_tar
from rnnray.errors import UserError

FILES = {"classes": b"cat\ndog\n", "deep/er/shard": bytes(range(256)) * 20, "empty": b""}


def member(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, link
    return info


def tar_bytes(*extra: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(member("deep", tarfile.DIRTYPE))
        for name, content in FILES.items():
            info = member(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


TAR = tar_bytes()
TAR_GZ = gzip.compress(TAR)


@pytest.mark.parametrize("archive", [TAR, TAR_GZ], ids=["tar", "tar.gz"])
def test_every_file_arrives(tmp_path: Path, archive: bytes) -> None:
    (tmp_path / "archive").write_bytes(archive)
    extract_tar(tmp_path / "archive", tmp_path / "new" / "folder")
    assert contents(tmp_path / "new" / "folder") == FILES
    assert names(tmp_path / "new") == ["folder", "folder.lock"]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_bytes(b"mine")
    (tmp_path / "archive").write_bytes(TAR)
    extract_tar(tmp_path / "archive", tmp_path / "folder")
    assert contents(tmp_path / "folder") == {"mine": b"mine"}


@pytest.mark.parametrize(
    "evil",
    [
        member("../evil"),
        member("deep/../../evil"),
        member("deep/../evil"),
        member("..", tarfile.DIRTYPE),
        member("/evil"),
        member("//evil"),
        member("link", tarfile.SYMTYPE, "../evil"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("link", tarfile.SYMTYPE, "classes"),
        member("link", tarfile.LNKTYPE, "../evil"),
        member("link", tarfile.LNKTYPE, "classes"),
        member("device", tarfile.CHRTYPE),
        member("device", tarfile.BLKTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}-{info.linkname}",
)
def test_a_hostile_member_is_named_and_nothing_is_left(
    tmp_path: Path, evil: tarfile.TarInfo
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    archive = top / "archive.tar.gz"
    archive.write_bytes(gzip.compress(tar_bytes(evil)))
    message = refused(extract_tar, archive, top / "folder")
    assert str(archive) in message
    assert f"member {evil.name!r}" in message
    assert names(tmp_path) == ["top"]
    assert names(top) == ["archive.tar.gz", "folder.lock"]


def test_a_member_cannot_write_through_a_link_that_came_before(tmp_path: Path) -> None:
    evil = [member("link", tarfile.SYMTYPE, ".."), member("link/evil")]
    (tmp_path / "archive").write_bytes(tar_bytes(*evil))
    with pytest.raises(UserError, match="'link'"):
        extract_tar(tmp_path / "archive", tmp_path / "folder")
    assert names(tmp_path) == ["archive", "folder.lock"]


def test_a_negative_size_does_not_read_forever(tmp_path: Path) -> None:
    info = member("back")
    info.size = -512
    header = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "archive").write_bytes(header + TAR)
    done = threading.Event()

    def extract() -> None:
        with pytest.raises(UserError, match="invalid size at byte 0"):
            extract_tar(tmp_path / "archive", tmp_path / "folder")
        done.set()

    threading.Thread(target=extract, daemon=True).start()
    assert done.wait(10)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"<html>Log in first</html>", b"x" * 5000, gzip.compress(b"text")]
)
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.html").write_bytes(content)
    with pytest.raises(UserError, match=r"page\.html: a damaged or incomplete archive"):
        extract_tar(tmp_path / "page.html", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_truncated_archive_never_becomes_a_folder(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from([TAR, TAR_GZ]))
    # A tar ends with zeros; without the last of them it is still complete.
    needed = len(TAR.rstrip(b"\0")) // 512 * 512 + 512 if whole is TAR else len(whole) - 1
    cut = data.draw(st.integers(0, needed))
    top = tmp_path_factory.mktemp("cut")
    (top / "archive").write_bytes(whole[:cut])
    message = refused(extract_tar, top / "archive", top / "folder")
    assert "archive: a damaged or incomplete archive" in message
    assert names(top) == ["archive", "folder.lock"]


with tarfile.open(fileobj=io.BytesIO(TAR)) as headers:
    HEADER_BITS = [info.offset * 8 + bit for info in headers for bit in range(512 * 8)]


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just(TAR_GZ), st.integers(0, len(TAR_GZ) * 8 - 1)),
        st.tuples(st.just(TAR), st.sampled_from(HEADER_BITS)),
    )
)
def test_a_flipped_bit_never_loses_or_changes_a_file_silently(
    tmp_path_factory: pytest.TempPathFactory, flip: tuple[bytes, int]
) -> None:
    damaged, bit = bytearray(flip[0]), flip[1]
    damaged[bit // 8] ^= 1 << bit % 8
    top = tmp_path_factory.mktemp("flip")
    (top / "archive").write_bytes(damaged)
    try:
        extract_tar(top / "archive", top / "folder")
    except UserError:
        assert names(top) == ["archive", "folder.lock"]
    else:  # a bit without a meaning, such as the time in gzip's header
        assert contents(top / "folder") == FILES


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(TAR)
    (tmp_path / "folder.unfinished" / "deep").mkdir(parents=True)
    (tmp_path / "folder.unfinished" / "deep" / "half").write_bytes(b"half")
    extract_tar(tmp_path / "archive", tmp_path / "folder")
    assert contents(tmp_path / "folder") == FILES
    assert not (tmp_path / "folder.unfinished").exists()


def test_ctrl_c_leaves_no_half_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_file: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "archive").write_bytes(TAR)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        extract_tar(tmp_path / "archive", tmp_path / "folder")
    assert names(tmp_path) == ["archive", "folder.lock"]


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.tar: No such file"):
        extract_tar(tmp_path / "gone.tar", tmp_path / "folder")


def test_those_who_unpack_at_once_get_one_complete_folder(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(TAR_GZ)
    seen: list[dict[str, bytes]] = []

    def extract() -> None:
        extract_tar(tmp_path / "archive", tmp_path / "folder")
        seen.append(contents(tmp_path / "folder"))

    threads = [threading.Thread(target=extract) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [FILES] * 4
