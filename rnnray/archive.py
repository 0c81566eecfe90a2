"""Tar archives from elsewhere, unpacked whole or not at all, and only into their folder."""

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Self

from rnnray.download import cache_folder, cannot_write, download, locked
from rnnray.errors import UserError

_BLOCK = 1 << 20
# Limits of what an archive unpacks to: text shrinks to a twentieth, a bomb of zeros to a
# thousandth.
_TIMES = 100
_BYTES = 256 << 20  # allowed for any archive, however small
_HEADER_BYTES = 1 << 20  # limit of a long name or extended header, which tarfile reads into memory
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def fetch_tar(url: str, sha256: str, name: str) -> Path:
    """Return the folder of an unpacked archive; download and unpack it if needed.

    The folder is in `cache_folder()`; once it exists, no network is needed.

    Args:
        url: address of the archive.
        sha256: its digest, hexadecimal.
        name: name of its folder in the cache.

    Raises:
        UserError: the archive cannot be downloaded, unpacked or written, or is another one.
    """
    archive = cache_folder() / name / url.rpartition("/")[2]
    folder = archive.with_suffix("")
    if not folder.exists():
        download(url, archive, sha256=sha256)
        # Again, for an archive that was put there by hand.
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != sha256:
            raise UserError(
                f"{archive}: sha256 is {found}, not {sha256}; delete it and run again, or use an "
                "archive of your own with --data PATH"
            )
        extract_tar(archive, folder)
    return folder


def extract_tar(archive: Path, folder: Path) -> None:
    """Unpack a .tar or .tar.gz into `folder`, which appears only once it is complete.

    Does nothing if `folder` exists. Accepts only folders and regular files; refuses absolute paths,
    "..", devices and links of any kind. A data set needs no links, and links have led tarfile's own
    "data" filter astray (CVE-2025-4517, CVE-2025-4330). Owners, modes and times are dropped. An
    archive that unpacks to more than a hundred times its size is refused.

    Raises:
        UserError: a member is refused (named), the archive is damaged or incomplete (named), or
            `folder` cannot be written.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if folder.exists():
                return
            shutil.rmtree(unfinished, ignore_errors=True)  # left by a process that was killed
            try:
                unfinished.mkdir()
                _extract(archive, unfinished)
                unfinished.rename(folder)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
    # tarfile raises ValueError and OverflowError for some invalid headers.
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
    """Header that raises if it is damaged or missing, where tarfile sees the archive's end."""

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
        if tar.offset <= start:  # a negative size would be read forever (CVE-2025-8194)
            raise tarfile.ReadError(f"invalid size at byte {start} of the tar")
        return member


def _extract(archive: Path, folder: Path) -> None:
    """Write the members into the empty `folder`; tarfile's and gzip's errors pass through."""
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
