"""Archives from strangers: what tests/test_archive.py does not try."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rnnray import archive
from rnnray.archive import extract_tar
from rnnray.chorale.data import scores
from rnnray.errors import UserError

Write = Callable[[tarfile.TarFile], None]


def tar(write: Write, **options: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as opened:  # type: ignore[call-overload]
        write(opened)
    return buffer.getvalue()


def file(name: str, content: bytes = b"evil", **fields: object) -> Write:
    def write(opened: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for field, value in fields.items():
            setattr(info, field, value)
        opened.addfile(info, io.BytesIO(content))

    return write


def in_turn(*writes: Write) -> Write:
    return lambda opened: [write(opened) for write in writes] and None


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Write:
    return file(name, b"", type=kind, linkname=target)


LONG = "a" * 200
TRICKS = {
    "name in a pax header": tar(
        file("plain", pax_headers={"path": "../outside"}), format=tarfile.PAX_FORMAT
    ),
    "absolute name in a pax header": tar(
        file("plain", pax_headers={"path": "/tmp/rnnray-outside"}), format=tarfile.PAX_FORMAT
    ),
    "name for all in a global pax header": tar(
        file("plain"), format=tarfile.PAX_FORMAT, pax_headers={"path": "../outside"}
    ),
    "long name of GNU": tar(file(f"{LONG}/../../outside"), format=tarfile.GNU_FORMAT),
    "prefix of ustar": tar(file(f"{'b' * 90}/../../{'c' * 80}"), format=tarfile.USTAR_FORMAT),
    "through a link to a folder": tar(in_turn(link("d", ".."), file("d/outside"))),
    "through a link to a link": tar(in_turn(link("d", "e"), link("e", "../.."), file("d/outside"))),
    "over a link to a file": tar(in_turn(link("d", "../outside"), file("d"))),
    "hard link to what is outside": tar(link("d", "/etc/passwd", tarfile.LNKTYPE)),
    "link in a pax header": tar(
        file("d", b"", type=tarfile.SYMTYPE, pax_headers={"linkpath": "../outside"}),
        format=tarfile.PAX_FORMAT,
    ),
    "device": tar(file("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "pipe": tar(file("pipe", b"", type=tarfile.FIFOTYPE)),
    "folder above": tar(file("../outside", b"", type=tarfile.DIRTYPE)),
    "absolute folder": tar(file("/tmp/rnnray-outside", b"", type=tarfile.DIRTYPE)),
    "a type of no name": tar(file("../outside", b"x", type=b"Z")),
}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_no_archive_writes_outside_of_its_folder(
    tmp_path: Path, trick: str, pack: Callable[[bytes], bytes]
) -> None:
    top = tmp_path / "a" / "b"
    top.mkdir(parents=True)
    (top / "archive").write_bytes(pack(TRICKS[trick]))
    with pytest.raises(UserError, match=r"not unpacked|damaged") as caught:
        extract_tar(top / "archive", top / "folder")
    assert len(caught.value.args[0].splitlines()) == 1
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert found == {"a", "a/b", "a/b/archive", "a/b/folder.lock"}
    assert not Path("/tmp/rnnray-outside").exists()


def test_modes_and_owners_of_strangers_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(tar(file("plain", mode=0o6777, uid=12345, gid=12345)))
    extract_tar(tmp_path / "archive", tmp_path / "folder")
    status = (tmp_path / "folder" / "plain").stat()
    assert status.st_mode & 0o7111 == 0
    assert status.st_uid == (tmp_path / "folder").stat().st_uid


def zeros(count: int) -> bytes:
    return tar(file("zeros", bytes(count)))


def sparse(size: int) -> bytes:
    """A file that claims to be one hole."""
    info = tarfile.TarInfo("hole")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(size),
        "GNU.sparse.map": f"{size},0",
    }
    return tar(lambda opened: opened.addfile(info), format=tarfile.PAX_FORMAT)


def many(count: int) -> bytes:
    return tar(in_turn(*[file(str(number), b"") for number in range(count)]))


@pytest.mark.parametrize(
    "content", [zeros(2_000_000), sparse(1 << 40), many(2000)], ids=["zeros", "hole", "files"]
)
def test_an_archive_that_unpacks_to_much_more_than_it_is_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(archive, "_BYTES", 1 << 19)
    monkeypatch.setattr(archive, "_TIMES", 10)
    (tmp_path / "bomb.tgz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=r"bomb\.tgz: unpacks to more than 10 times its size"):
        extract_tar(tmp_path / "bomb.tgz", tmp_path / "folder")
    assert {path.name for path in tmp_path.iterdir()} == {"bomb.tgz", "folder.lock"}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_long_header_fills_no_memory(tmp_path: Path, kind: bytes) -> None:
    content = tar(file("long", bytes(3 << 20), type=kind))
    (tmp_path / "bomb.tgz").write_bytes(gzip.compress(content + tar(file("plain"))))
    with pytest.raises(UserError, match=r"bomb\.tgz: .*a header of 3,145,728 bytes"):
        extract_tar(tmp_path / "bomb.tgz", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_compressed_score_that_is_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.mxl"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.xml", b" " * (65 << 20))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"bomb\.mxl: larger than 64 MiB"):
        scores.read_voices(bomb)


def test_a_score_larger_than_any_score_is_not_read(tmp_path: Path) -> None:
    for suffix in scores.SUFFIXES:
        path = tmp_path / f"bomb{suffix}"
        with path.open("wb") as hole:
            hole.truncate(1 << 40)
        with pytest.raises(UserError, match="larger than 64 MiB"):
            scores.read_voices(path)
