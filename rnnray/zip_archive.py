"""Zip archives from elsewhere, unpacked within a limit of bytes, and only into their folder."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rnnray.download import cannot_write
from rnnray.errors import UserError

_BLOCK = 1 << 20
# Limits of what an archive unpacks to: text shrinks to a twentieth, a bomb of zeros to a
# thousandth.
_TIMES = 100
_BYTES = 256 << 20  # allowed for any archive, however small
_MEMBERS = 200_000


def extract_zip(archive: Path, folder: Path) -> None:
    """Unpack a .zip into `folder`, which must not exist.

    Accepts only folders and regular files; refuses absolute paths, "..", links and encrypted
    members. Also refuses an archive that unpacks to more than a hundred times its size, by the
    bytes that come out and not by the sizes in its headers.

    Raises:
        UserError: a member is refused (named), the archive is damaged, or `folder` cannot be
            written.
    """
    room = max(_BYTES, _TIMES * archive.stat().st_size)
    try:
        folder.mkdir(parents=True)
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if len(members) > _MEMBERS:
                raise UserError(f"{archive}: has {len(members):,} members; not unpacked")
            for member in members:
                room -= _write(archive, opened, member, folder, room)
    # zipfile raises RuntimeError and NotImplementedError for unknown methods of compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"{archive}: a damaged or incomplete archive ({error})") from error
    except OSError as error:
        raise cannot_write(folder, error) from error


def _write(
    archive: Path, opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, room: int
) -> int:
    """Write a member of at most `room` bytes; return its size in bytes."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise UserError(
            f"{archive}: member {member.filename!r} would leave the folder; not unpacked"
        )
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(
            f"{archive}: member {member.filename!r} is a link or a device; not unpacked"
        )
    if member.flag_bits & 1:
        raise UserError(f"{archive}: member {member.filename!r} is encrypted; unpack it by hand")
    path = folder / name
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with opened.open(member) as content, path.open("wb") as out:
        while block := content.read(_BLOCK):
            size += len(block)
            if size > room:
                raise UserError(
                    f"{archive}: unpacks to more than {_TIMES} times its size, which no data set "
                    "does; not unpacked"
                )
            out.write(block)
    return size
