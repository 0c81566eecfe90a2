"""Local files that appear under their names only when they are whole, and on the disk."""

import errno
import os
import re
import shutil
import uuid
from pathlib import Path

UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.part")
"""Names of unfinished files, being written or left by a killed process."""
# Errors of hard links on exFAT, SMB, and buckets that are mounted as folders.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EMLINK)


def unfinished(folder: Path) -> Path:
    """Return a new name in a folder that matches `UNFINISHED`: hidden and no longer than others."""
    return folder / f".{uuid.uuid4().hex}.part"


def write(path: Path, content: bytes | memoryview | Path, *, if_absent: bool = False) -> None:
    """Write a file; until it is whole, the earlier file stays.

    Args:
        path: path of the file; its folder must exist.
        content: its content, or the path of a file to copy.
        if_absent: write only if nothing has that name.

    Raises:
        FileExistsError: `if_absent`, and something has that name. Of several writers one wins.
        OSError: the file cannot be written; nothing of it is left.
    """
    temporary = unfinished(path.parent)
    try:
        if isinstance(content, Path):
            shutil.copyfile(content, temporary)
        else:
            temporary.write_bytes(content)
        name(temporary, path, if_absent=if_absent)
    finally:
        temporary.unlink(missing_ok=True)


def name(temporary: Path, path: Path, *, if_absent: bool = False) -> None:
    """Give a whole file its name, on the same disk; with `if_absent` it may keep its old name too.

    Args:
        temporary: path of the file.
        path: its new name.
        if_absent: see `write`.

    Raises:
        FileExistsError: see `write`.
        OSError: the disk refuses.
    """
    # The name may reach the disk before the content does, and the power may fail in between.
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    if not if_absent:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)  # unlike a rename, never replaces a file
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Of two processes at once, only one can reserve the name. A kill before the rename leaves
        # an empty file, never half of one.
        path.touch(exist_ok=False)
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
