"""Files by path or URI (the local disk, `s3://`, `gs://`) through pyarrow.

S3 endpoints, regions and keys come from the standard `AWS_*` environment variables.
"""

import os
import tempfile
import uuid
from pathlib import Path

from pyarrow import fs

from rnnray import whole_file
from rnnray.errors import UserError
from rnnray.uris import check_uri


def open_uri(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URI, and the path within it (absolute for local ones).

    Raises:
        UserError: an unknown scheme, or a URI that `check_uri` refuses.
    """
    check_uri(uri)
    if "://" not in uri:
        return fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (OSError, ValueError) as error:
        raise UserError(f"{uri}: cannot be opened ({_first_line(error)})") from error
    return filesystem, path


def absolute(uri: str) -> str:
    """Return a URI as it is, a local path in its absolute form."""
    return uri if "://" in uri else open_uri(uri)[1]


def join(uri: str, *parts: str) -> str:
    """Return the URI of something below a folder's URI."""
    return "/".join([uri.rstrip("/"), *parts])


def list_files(uri: str) -> tuple[fs.FileSystem, list[str]]:
    """Return all files below a folder, sorted, or the one file itself, as paths of the file system.

    Leaves out hidden files and folders, and those that begin with an underscore.

    Raises:
        UserError: there are no files, or they cannot be listed.
    """
    filesystem, path = open_uri(uri)
    try:
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise UserError(f"{uri}: no such file or folder")
        if info.type == fs.FileType.File:
            return filesystem, [path]
        found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise UserError(f"{uri}: cannot be read ({_first_line(error)})") from error
    files = sorted(
        entry.path
        for entry in found
        if entry.type == fs.FileType.File
        and not any(part[0] in "._" for part in entry.path[len(path) :].strip("/").split("/"))
    )
    if not files:
        raise UserError(f"{uri}: the folder has no files")
    return filesystem, files


def is_empty(uri: str) -> bool:
    """Return whether a folder is empty or does not exist; false for a file."""
    filesystem, path = open_uri(uri)
    if filesystem.get_file_info(path).type == fs.FileType.File:
        return False
    return not filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))


def read_bytes(uri: str) -> bytes | None:
    """Return the content of a file, or None if there is none.

    Raises:
        UserError: the file cannot be read.
    """
    filesystem, path = open_uri(uri)
    try:
        if filesystem.get_file_info(path).type != fs.FileType.File:
            return None
        with filesystem.open_input_stream(path) as stream:
            content: bytes = stream.read()
    except OSError as error:
        raise UserError(f"{uri}: cannot be read ({_first_line(error)})") from error
    return content


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file that appears under its name only when it is whole; make its folder.

    Raises:
        UserError: the storage refuses it (no permission, no space, no bucket).
    """
    filesystem, path = open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        _write_local(Path(path), content, uri)
        return
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "content"
        file.write_bytes(content)
        put_file(file, uri)


def put_file(file: Path, uri: str) -> None:
    """Copy a local file to a path or URI, where it appears only when it is whole.

    Raises:
        UserError: the storage refuses it.
    """
    filesystem, path = open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        _write_local(Path(path), file, uri)
        return
    try:
        fs.copy_files(str(file), path, destination_filesystem=filesystem)
    except OSError as error:
        raise _cannot_be_written(uri, error) from error


def check_writable(uri: str) -> None:
    """Write and delete a small file in a folder, so that a run fails before its work and not after.

    Raises:
        UserError: the folder cannot be written.
    """
    probe = join(uri, f".writable-{uuid.uuid4().hex}")
    try:
        write_bytes(probe, b"")
    except UserError as error:
        raise UserError(str(error).replace(probe, uri)) from error
    filesystem, path = open_uri(probe)
    filesystem.delete_file(path)


def delete(uri: str) -> bool:
    """Delete a file; return false if there is none.

    Raises:
        UserError: the storage refuses it.
    """
    filesystem, path = open_uri(uri)
    try:
        if filesystem.get_file_info(path).type != fs.FileType.File:
            return False
        filesystem.delete_file(path)
    except OSError as error:
        raise UserError(f"{uri}: cannot be deleted ({_first_line(error)})") from error
    return True


def copy_folder(source: Path, uri: str) -> None:
    """Copy every file of a local folder to a folder's URI."""
    for folder, _, names in os.walk(source):
        for name in names:
            file = Path(folder) / name
            put_file(file, join(uri, *file.relative_to(source).parts))


def fetch_folder(uri: str, target: Path) -> Path:
    """Return a local folder with the content of a URI: the folder itself, or a copy in `target`.

    Raises:
        UserError: it cannot be read.
    """
    filesystem, path = open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path)
    try:
        fs.copy_files(path, str(target), source_filesystem=filesystem)
    except OSError as error:
        raise UserError(f"{uri}: cannot be read ({_first_line(error)})") from error
    return target


def _write_local(path: Path, content: bytes | Path, uri: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(path, content)
    except OSError as error:
        raise _cannot_be_written(uri, error) from error


def _cannot_be_written(uri: str, error: OSError) -> UserError:
    return UserError(f"{uri}: cannot be written ({_first_line(error.strerror or error)})")


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
