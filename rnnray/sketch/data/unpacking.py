"""Files of drawings as streams of their content: plain, or compressed with gzip, bzip2, xz or zip.

Nothing is unpacked to a named file on a disk, and nothing to more than `_TIMES` its size.
"""

import bz2
import gzip
import io
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from io import BufferedIOBase, BufferedReader
from pathlib import PurePosixPath
from typing import IO, Any, cast

from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data.checksums import is_tfrecord

_BUFFER_BYTES = 1 << 20
# Limits of what a file unpacks to: text shrinks to a twentieth, a bomb of zeros to a thousandth.
_TIMES = 100
_BYTES = 256 << 20  # allowed for any file, however small
# Errors of damaged compressed files. RuntimeError: encryption and unknown methods. MemoryError: the
# size of a dictionary that .xz asks for.
_DAMAGE = (
    *(EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    *(RuntimeError, MemoryError),
)
_ZIP = b"PK\x03\x04"


class Unpacked(BufferedReader):
    """The content of a compressed file. Damage, and too much content, is an `OSError`."""


def open_content(filesystem: fs.FileSystem, path: str, member: str | None = None) -> BufferedIOBase:
    """Open a file for reading from its beginning to its end; decompress it if needed.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        member: name of a file within it, if it is a zip archive.

    Raises:
        UserError: the file cannot be read, or is no zip archive with such a member.
    """
    if member is not None:
        return Archive(filesystem, path).open(member)
    return decompressed(_open(filesystem, path))


def decompressed(stream: BufferedIOBase) -> BufferedIOBase:
    """Return the stream itself, or its decompressed content if it is a gzip, bzip2 or xz file."""
    if isinstance(stream, Unpacked):
        return stream
    head = stream.read(12)
    stream.seek(0)
    if is_tfrecord(head):  # its first length can equal a magic number
        return stream
    if head[:2] == b"\x1f\x8b":
        return _unpacked(gzip.GzipFile(fileobj=stream), _size(stream), "gzip")
    # The magic number of bzip2's first block, or of the end of an empty file.
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return _unpacked(bz2.BZ2File(cast(IO[bytes], stream)), _size(stream), "bzip2")
    if head[:6] == b"\xfd7zXZ\x00":
        return _unpacked(lzma.LZMAFile(cast(IO[bytes], stream)), _size(stream), "xz")
    return stream


class Archive:
    """A zip archive, opened for reading. Raises `UserError` if it is damaged."""

    def __init__(self, filesystem: fs.FileSystem, path: str) -> None:
        self._path, stream = path, _open(filesystem, path)
        self._size = _size(stream)
        try:
            self._zip = zipfile.ZipFile(stream)
        # zipfile raises ValueError and OverflowError for some invalid headers.
        except (*_DAMAGE, ValueError, OverflowError) as error:
            raise UserError(f"{path}: a damaged or truncated zip archive ({error})") from error

    def names(self) -> list[str]:
        """Return the names of its files, sorted, without those that begin with a dot or underscore.

        Raises:
            UserError: the archive is encrypted.
        """
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        names = sorted(
            info.filename
            for info in infos
            if not any(part[0] in "._" for part in PurePosixPath(info.filename).parts)
        )
        if any(info.flag_bits & 1 for info in infos):
            raise UserError(f"{self._path}: is encrypted; unpack it first")
        return names

    def open(self, name: str) -> BufferedIOBase:
        """Open a file of the archive; its content is not unpacked any further."""
        try:
            content = self._zip.open(name)
        except (KeyError, ValueError, *_DAMAGE) as error:
            raise UserError(f"{self._path}: {name} cannot be unpacked ({error})") from error
        return _unpacked(content, self._size, "zip")


def inner_archive(names: Iterable[str]) -> str | None:
    """Return the first zip archive among the files of an archive; None for none."""
    return next((name for name in names if name.lower().endswith((".zip", ".npz"))), None)


def is_archive(filesystem: fs.FileSystem, path: str) -> bool:
    """Return whether a file is a zip archive with files, by its first bytes."""
    with _open(filesystem, path) as stream:
        return stream.read(4) == _ZIP


def as_file(stream: BufferedIOBase) -> BufferedIOBase:
    """Return the stream itself, or a seekable nameless copy of decompressed content.

    Raises:
        OSError: the content is damaged or too much.
    """
    if not isinstance(stream, Unpacked):
        return stream
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (closed, and so deleted, with its last user)
    shutil.copyfileobj(stream, copy, _BUFFER_BYTES)
    copy.seek(0)
    return cast(BufferedIOBase, copy)


def _open(filesystem: fs.FileSystem, path: str) -> BufferedReader:
    try:
        return BufferedReader(filesystem.open_input_file(path), _BUFFER_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def _size(stream: BufferedIOBase) -> int:
    position = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(position)
    return size


def _unpacked(inner: Any, size: int, kind: str) -> Unpacked:
    return Unpacked(cast(io.RawIOBase, _Bounded(inner.read1, size, kind)), _BUFFER_BYTES)


class _Bounded(io.RawIOBase):
    """Decompresses up to a limit by the file's size, and reports all damage in one way."""

    def __init__(self, read1: Callable[[int], bytes], size: int, kind: str) -> None:
        self._read1, self._kind = read1, kind
        self._room = max(_BYTES, _TIMES * size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._read1(len(buffer))
        except _DAMAGE as error:
            raise OSError(f"damaged or truncated {self._kind} file ({error})") from error
        self._room -= len(content)
        if self._room < 0:
            raise OSError(f"unpacks to more than {_TIMES} times its size, which no drawings do")
        buffer[: len(content)] = content
        return len(content)
