"""What an archive from elsewhere may not do: leave its folder, link, fill the disk."""

import stat
import zipfile
from pathlib import Path

import pytest

from rnnray import zip_archive
from rnnray.errors import UserError
from rnnray.zip_archive import extract_zip


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def test_an_archive_is_unpacked_whole(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.zip", ("in/a.txt", b"a" * 3_000_000), ("b", b""), ("c/", b""))
    extract_zip(file, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert found == {"in", "in/a.txt", "b", "c"}
    assert (tmp_path / "out/in/a.txt").read_bytes() == b"a" * 3_000_000


@pytest.mark.parametrize("name", ["../evil", "in/../../evil", "/tmp/evil", "..\\evil", "in/.."])
def test_a_member_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    file = archive(tmp_path / "a.zip", ("good", b""), (name, b"x"))
    with pytest.raises(UserError, match=r"a\.zip: member .* would leave the folder"):
        extract_zip(file, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil"))


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match=r"member 'link' is a link or a device"):
        extract_zip(archive(tmp_path / "a.zip", (link, b"/etc/passwd")), tmp_path / "out")


def test_a_bomb_is_refused_by_what_comes_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_archive, "_BYTES", 4 << 20)
    zeros = bytes(3 << 20)
    extract_zip(archive(tmp_path / "a.zip", ("a", zeros)), tmp_path / "a")
    file = archive(tmp_path / "b.zip", ("a", zeros), ("b", zeros))
    with pytest.raises(UserError, match=r"b\.zip: unpacks to more than 100 times its size"):
        extract_zip(file, tmp_path / "b")
    written = sum(path.stat().st_size for path in (tmp_path / "b").rglob("*"))
    assert written <= 4 << 20
    monkeypatch.setattr(zip_archive, "_MEMBERS", 1)
    with pytest.raises(UserError, match="has 2 members"):
        extract_zip(file, tmp_path / "c")


@pytest.mark.parametrize("damage", [lambda its: its[:-40], lambda its: b"PK" + bytes(100)])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: object) -> None:
    file = archive(tmp_path / "a.zip", ("a", b"0123456789" * 1000))
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(UserError, match=r"a\.zip: a damaged or incomplete archive"):
        extract_zip(file, tmp_path / "out")


def test_a_member_whose_bytes_changed_is_told(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.zip", ("a", bytes(range(256))))
    content = bytearray(file.read_bytes())
    content[60] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"a\.zip: a damaged or incomplete archive"):
        extract_zip(file, tmp_path / "out")
