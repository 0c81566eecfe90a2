"""Artifacts in a local folder."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnray import whole_file
from rnnray.artifacts.store import Entry, Exists, check_key
from rnnray.errors import UserError
from rnnray.whole_file import UNFINISHED

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True)
class LocalStore:
    """A local folder, which drops content types and metadata.

    A link to another folder is listed as an entry: files in that folder are not the store's own.
    """

    uri: str

    def put(
        self,
        key: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] = {},
        if_absent: bool = False,
        before_retry: Callable[[], object] = lambda: None,
    ) -> None:
        """See `Store`."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                whole_file.write(path, content, if_absent=if_absent)
            except FileExistsError:
                if not if_absent:
                    raise
                raise Exists(f"{path}: exists already") from None
        except OSError as error:
            if error.errno in _FULL:
                raise UserError(
                    f"{self.uri}: its disk is full, so {key} was not written; free some space, "
                    "then run again"
                ) from error
            raise UserError(f"{path}: cannot be written ({error.strerror})") from error

    def get(self, key: str) -> bytes | None:
        """See `Store`."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except _NOT_THERE:
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def size(self, key: str) -> int | None:
        """See `Store`."""
        path = self._path(key)
        try:
            status = path.stat()
        except _NOT_THERE:
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def sha256(self, key: str) -> str | None:
        """See `Store`; reads the file."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except _NOT_THERE:
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        return self._below(prefix.rpartition("/")[0], prefix)

    def delete(self, key: str) -> None:
        """See `Store`."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            pass
        except OSError as error:
            raise UserError(f"{path}: cannot be deleted ({error.strerror})") from error

    def tidy(self) -> None:
        """See `Store`: deletes temporary files."""
        try:
            for folder, _, names in os.walk(self.uri):
                for name in filter(UNFINISHED.fullmatch, names):
                    Path(folder, name).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.uri}: unfinished files cannot be deleted ({error.strerror})"
            ) from error

    def presign(self, key: str, hours: float) -> str:
        """See `Store`; a local folder has no links."""
        raise UserError(f"{self.uri}: links with a time limit need an s3:// output")

    def _path(self, key: str) -> Path:
        check_key(key)
        return Path(self.uri, key)

    def _below(self, folder: str, prefix: str) -> Iterator[Entry]:
        where = Path(self.uri, folder)
        try:
            with os.scandir(where) as found:
                # "a-b" comes before "a/b", as in S3: folders sort with their slash.
                entries = sorted(found, key=lambda e: e.name + "/" * _is_folder(e))
        except _NOT_THERE:
            return
        except OSError as error:
            raise UserError(f"{where}: cannot be read ({error.strerror})") from error
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                if f"{key}/".startswith(prefix):
                    yield from self._below(key, prefix)
            elif key.startswith(prefix) and not UNFINISHED.fullmatch(entry.name):
                size = 0 if entry.is_dir() else self.size(key)
                if size is not None:
                    yield Entry(key, size)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
