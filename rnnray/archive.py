"""Archives from elsewhere, unpacked so that nothing lands outside and nothing half done stays."""

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Self

from rnnray.download import cannot_write, locked
from rnnray.errors import UserError

_BLOCK = 1 << 20
# What an archive may unpack to: text shrinks to a twentieth, a bomb of zeros to a thousandth.
_TIMES = 100
_BYTES = 256 << 20  # any archive may have so much
_HEADER_BYTES = 1 << 20  # of a member's long name and the like, which tarfile takes into memory
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def extract_tar(archive: Path, folder: Path) -> None:
    """Unpack a .tar or .tar.gz into `folder`, which appears only once it is complete.

    Does nothing where `folder` exists. Only folders and regular files are accepted; absolute paths,
    "..", devices and links of any kind are refused. A data set needs no links, and links are what
    tarfile's own "data" filter has been led astray by (CVE-2025-4517, CVE-2025-4330). Owners,
    modes and times are not kept. An archive that unpacks to a hundred times its size is refused.

    Raises:
        UserError: a member is refused (named), the archive is damaged or cut short (named), or
            `folder` cannot be written.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if folder.exists():
                return
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
            try:
                unfinished.mkdir()
                _extract(archive, unfinished)
                unfinished.rename(folder)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
    # ValueError and OverflowError: what tarfile does with some nonsense in headers.
    except (
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        ValueError,
        OverflowError,
    ) as error:
        raise UserError(
            f"{archive}: a damaged or incomplete archive ({error}); delete it and fetch it again"
        ) from error
    except OSError as error:
        raise cannot_write(folder, error) from error


class _StrictTarInfo(tarfile.TarInfo):
    """Tells of a damaged or missing header; tarfile takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _LONG_HEADERS and member.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_StrictTarInfo":
        start = tar.offset
        try:
            member = super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # missing in typeshed
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {start} of the tar") from error
        if tar.offset <= start:  # a negative size: reading on would never end (CVE-2025-8194)
            raise tarfile.ReadError(f"invalid size at byte {start} of the tar")
        return member


def _extract(archive: Path, folder: Path) -> None:
    """Write the members into the empty `folder`; raises whatever tarfile and gzip raise."""
    with archive.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Any = gzip.GzipFile(fileobj=file) if zipped else file
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=_StrictTarInfo) as tar:
            room = max(_BYTES, _TIMES * archive.stat().st_size)
            for member in tar:
                room -= tarfile.BLOCKSIZE + member.size
                if room < 0:
                    raise UserError(
                        f"{archive}: unpacks to more than {_TIMES} times its size, which no data "
                        "set does; not unpacked"
                    )
                _write(archive, tar, member, folder)
        while stream.read(_BLOCK):  # gzip compares its checksum at the very end
            pass


def _write(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    name = PurePosixPath(member.name)
    path = folder / name
    if name.is_absolute() or ".." in name.parts:
        raise UserError(f"{archive}: member {member.name!r} would leave the folder; not unpacked")
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif member.isreg() and (content := tar.extractfile(member)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            shutil.copyfileobj(content, out, _BLOCK)
            out.flush()
            os.fsync(out.fileno())  # on the disk before the folder gets its name
    else:
        raise UserError(f"{archive}: member {member.name!r} is a link or a device; not unpacked")
