"""A file system that waits while its storage refuses."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from rnnray import storage, whole_file
from rnnray.errors import UserError
from rnnray.retry import GaveUp, retry
from rnnray.run_lock import LOCK, Held, check_owner

PATIENCE = 300.0  # seconds from the first failure to giving up

Tell = Callable[[dict[str, Any]], None]
T = TypeVar("T")
Save = Callable[[Path], None]
"""Writes a checkpoint into an empty folder."""


def retry_storage(uri: str, attempt: Callable[[], T], tell: Tell, *, writes: bool = False) -> T:
    """Call `attempt` until it succeeds or `PATIENCE` seconds have passed; return its result.

    Args:
        uri: path or URI of the storage, for messages.
        attempt: the call.
        tell: takes events {"kind": "storage", "message": ...}.
        writes: the call writes: a missing folder may come back, as a network drive's does.

    Raises:
        FileNotFoundError: at once, unless it writes: no such file will appear.
        UserError: the storage has refused for `PATIENCE` seconds.
    """

    def reason(error: Exception) -> str:
        is_missing = isinstance(error, FileNotFoundError) and not writes
        return _reason(error) if isinstance(error, OSError) and not is_missing else ""

    def say(message: str) -> None:
        tell({"kind": "storage", "message": f"{uri}: {message}"})

    try:
        return retry(
            uri,
            attempt,
            reason,
            patience=PATIENCE,
            say_waiting=lambda why, left: say(
                f"the storage refuses ({why}), trying again for {left:.0f} s more at most"
            ),
            say_over=lambda seconds: say(f"written after {seconds:.0f} s"),
        )
    except GaveUp as error:
        # Not the storage's own error: Ray Train tries some of S3's again, which waited already.
        raise UserError(
            f"{uri}: the storage refuses ({error.reason}) for {error.seconds:.0f} s now; "
            "mend it, then run the same again"
        ) from None


def read_file(uri: str, tell: Tell) -> bytes | None:
    """Return the content of a file, None where there is none, and wait for its storage.

    Args:
        uri: path or URI of the file.
        tell: see `retry_storage`.

    Raises:
        UserError: the storage has refused for minutes.
    """
    files, path = storage.open_uri(uri)

    def read() -> bytes | None:
        if files.get_file_info(path).type != fs.FileType.File:
            return None
        with files.open_input_stream(path) as stream:
            return bytes(stream.read())

    return retry_storage(uri, read, tell)


def _reason(error: OSError) -> str:
    """Return the reason in few words; a server's own text may have key ids."""
    code = re.search(r"AWS Error ([A-Z_]+)", str(error))
    if code:
        return code[1]
    return os.strerror(error.errno) if error.errno else "input or output error"


@contextmanager
def saved_in_temporary(save: Save) -> Iterator[Path]:
    """Save a checkpoint, and yield the temporary folder that has it."""
    with tempfile.TemporaryDirectory() as temporary:
        save(Path(temporary))
        yield Path(temporary)


class PatientFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """A file system of pyarrow's that retries each call.

    Files are sent when they are closed, as a whole; on a local disk they appear under their names
    when they are whole.

    Args:
        filesystem: the file system underneath.
        uri: path or URI of the run's folder, for messages; of one URI, all are the same.
        tell: see `retry_storage`.
        held: lock of the run, in the same storage; once another run has it, nothing is changed, and
            each attempt raises `LockLost`.
    """

    def __init__(
        self,
        filesystem: fs.FileSystem,
        uri: str,
        tell: Tell,
        held: Held | None = None,
    ) -> None:
        self._files, self._uri, self._tell = filesystem, uri, tell
        self._held = held

    def __eq__(self, other: object) -> bool:
        # Not by `_files`: two copies of one on S3 may renew their credentials at other times.
        return isinstance(other, PatientFiles) and self._uri == other._uri

    def __hash__(self) -> int:
        return hash(self._uri)

    def _retry(self, attempt: Callable[[], T], *, writes: bool = False) -> T:
        return retry_storage(self._uri, attempt, self._tell, writes=writes)

    def _change(self, attempt: Callable[[], T], *, writes: bool = False) -> T:
        def as_owner() -> T:
            # Before each attempt: the lock may be lost while the storage refuses.
            self._check_owner()
            return attempt()

        return self._retry(as_owner, writes=writes)

    def _check_owner(self) -> None:
        if self._held is None:
            return
        # Through this file system: a store's own patience would add to ours.
        folder = storage.open_uri(self._held.store.uri)[1]
        try:
            with self._files.open_input_stream(f"{folder}/{LOCK}") as stream:
                found: bytes | None = stream.read()
        except FileNotFoundError:
            if self._files.get_file_info(folder).type == fs.FileType.NotFound:
                return
            found = None
        check_owner(found, self._held.owner, self._uri)

    def get_type_name(self) -> str:
        """The type of the file system underneath."""
        return str(self._files.type_name)

    def normalize_path(self, path: str) -> str:
        """Return a path in the file system's own form."""
        return str(self._files.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> Any:
        """Return what is known of files."""
        return self._retry(lambda: self._files.get_file_info(paths))

    def get_file_info_selector(self, selector: fs.FileSelector) -> Any:
        """Return what is known of the files of a folder."""
        return self._retry(lambda: self._files.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        """Create a folder."""
        self._change(lambda: self._files.create_dir(path, recursive=recursive), writes=True)

    def delete_dir(self, path: str) -> None:
        """Delete a folder."""
        self._change(lambda: self._files.delete_dir(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Delete the files of a folder."""
        self._change(lambda: self._files.delete_dir_contents(path, missing_dir_ok=missing_dir_ok))

    def delete_root_dir_contents(self) -> None:
        """Refuse: nobody should delete all of a storage."""
        raise OSError(errno.EPERM, "nobody should delete all of a storage")

    def delete_file(self, path: str) -> None:
        """Delete a file."""
        self._change(lambda: self._files.delete_file(path))

    def move(self, src: str, dest: str) -> None:
        """Rename a file or folder."""
        self._change(lambda: self._files.move(src, dest))

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file."""
        self._change(lambda: self._files.copy_file(src, dest))

    def open_input_stream(self, path: str) -> Any:
        """Open a file with patience; reads are not retried."""
        return self._retry(lambda: self._files.open_input_stream(path))

    def open_input_file(self, path: str) -> Any:
        """Open a file with patience; reads are not retried."""
        return self._retry(lambda: self._files.open_input_file(path))

    def open_output_stream(self, path: str, metadata: dict[str, str]) -> Any:
        """Open a file that is sent when it is closed."""
        del metadata
        return pa.PythonFile(_Outgoing(lambda file: self._send(file, path)), mode="w")

    def open_append_stream(self, path: str, metadata: dict[str, str]) -> Any:
        """Refuse: object stores cannot append."""
        raise OSError(errno.EOPNOTSUPP, "files are written whole", path)

    @contextmanager
    def saved(self, folder: str, save: Save) -> Iterator[Path]:
        """Save a checkpoint, and yield the folder that has it, for `take`.

        On a local disk that is a hidden folder in the run's, so that each file is written once.

        Args:
            folder: the run's folder, a path of this file system.
            save: writes the checkpoint; on a local disk it is retried.

        Raises:
            UserError: see `retry_storage`; or another run has the lock.
        """
        if not isinstance(self._files, fs.LocalFileSystem):
            with saved_in_temporary(save) as temporary:
                yield temporary
            return
        hidden = whole_file.unfinished(Path(folder))

        def attempt() -> None:
            # Also those that killed workers left: one worker at a time saves.
            for left in Path(folder).iterdir():
                if whole_file.UNFINISHED.fullmatch(left.name) and left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
            hidden.mkdir()
            save(hidden)

        try:
            self._change(attempt, writes=True)
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def take(self, file: Path, path: str) -> None:
        """Put a file of a folder that `saved` yielded at a path, as a whole."""
        if isinstance(self._files, fs.LocalFileSystem):
            self._change(lambda: whole_file.name(file, Path(path)), writes=True)
        else:
            self._send(str(file), path)

    def _send(self, file: str, path: str) -> None:
        def attempt() -> None:
            if not isinstance(self._files, fs.LocalFileSystem):
                fs.copy_files(file, path, destination_filesystem=self._files, use_threads=False)
                return
            whole_file.write(Path(path), Path(file))

        self._change(attempt, writes=True)


class _Outgoing(RawIOBase):
    """A local file that is sent elsewhere when it is closed."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115  (closed in `close`)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        with self._file:
            self._file.flush()
            self._send(self._file.name)
