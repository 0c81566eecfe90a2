"""The files of a source, also those in zip archives: with drawings, class lists, and others."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple

from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data import class_lists, detection, formats
from rnnray.sketch.data.svg import is_svg
from rnnray.sketch.data.unpacking import Archive, inner_archive, is_archive

# Many threads: reading the heads of files waits for storage, not for a processor.
_READERS = 16
# Files that operating systems leave in folders; the content shows which others hold no drawings.
_LITTER = ("Thumbs.db", "desktop.ini")
# Limit of files whose heads are read again to say why nothing can be read.
_EXPLAINED = 100


class SourceFile(NamedTuple):
    """A file of drawings, or one in a zip archive."""

    path: str
    member: str | None
    format: formats.Format

    @property
    def name(self) -> str:
        """The file's name for messages."""
        return formats.name_of(self.path, self.member)


class Found(NamedTuple):
    """The files of a source; of class lists and others the path, and the name in an archive."""

    drawings: list[SourceFile]
    class_lists: list[tuple[str, str | None]]
    others: list[tuple[str, str | None]]


def find(data: str, filesystem: fs.FileSystem, root: str, paths: Sequence[str]) -> Found:
    """Sort the files of a source into those of drawings, all of one format, and others.

    Beside drawings of another format, SVG files are images, and an empty file has no format.

    Args:
        data: path or URI of the source, for messages.
        filesystem: file system of the files.
        root: the source's path within the file system.
        paths: paths of all its files; only `root` if the source is a file.

    Raises:
        UserError: no drawings, drawings of several formats, or an archive that cannot be read.
    """
    if list(paths) == [root] and not is_archive(filesystem, root):
        if not filesystem.get_file_info(root).size:
            raise UserError(f"{data}: an empty file")
        return Found([SourceFile(root, None, detection.detect(filesystem, root))], [], [])
    with ThreadPoolExecutor(_READERS) as pool:
        found = _joined(pool.map(partial(_look_at, filesystem), paths))
    if not found.drawings:
        _check_not_empty(data, filesystem, paths)
        for path, member in found.others[:_EXPLAINED]:
            reason = detection.explained(filesystem, path, member)
            if reason:
                raise UserError(f"{formats.name_of(path, member)}: {reason}")
        raise UserError(f"{data}: no file in it holds drawings; known formats: {detection.KNOWN}")
    _check_not_empty(data, filesystem, [file.path for file in found.drawings])
    kept = found.drawings
    if len({file.format for file in kept}) > 1:
        kept = [file for file in kept if not detection.is_empty(filesystem, *file[:2])]
    if len({file.format for file in kept}) > 1:
        kept = [file for file in kept if file.format != "svg"]
    formats_there = {file.format: file.name for file in reversed(kept)}
    if len(formats_there) > 1:
        raise UserError(
            f"{data}: mixes formats: "
            + ", ".join(
                f"{PurePosixPath(name).name} is {kind}"
                for kind, name in sorted(formats_there.items())
            )
        )
    left_out = [file[:2] for file in found.drawings if file.format != kept[0].format]
    used = {file.path for file in kept} | {path for path, _ in found.class_lists}
    others = dict.fromkeys(
        (path, member if path in used else None) for path, member in found.others + left_out
    )
    return Found(kept, found.class_lists, list(others))


def _look_at(filesystem: fs.FileSystem, path: str) -> Found:
    """Return what is at a path: a file, or the files in a zip archive."""
    if PurePosixPath(path).name in _LITTER or not is_archive(filesystem, path):
        return _sorted(filesystem, path, None)
    names = Archive(filesystem, path).names()
    images = [name for name in names if is_svg(name)]
    found = _joined(_sorted(filesystem, path, name) for name in names if not is_svg(name))
    if images and not found.drawings:  # thousands of files, all of them one part
        found.drawings.append(SourceFile(path, None, "svg"))
    else:
        found.others.extend((path, name) for name in images)
    inner = inner_archive(names)
    if inner and found.drawings:
        raise UserError(f"{path}: has an archive in it, {inner}; unpack it first")
    return found


def _sorted(filesystem: fs.FileSystem, path: str, member: str | None) -> Found:
    name = PurePosixPath(member or path).name
    if class_lists.is_class_list(name):
        return Found([], [(path, member)], [])
    kind = None if name in _LITTER else detection.recognise(filesystem, path, member)
    if kind is None or (member is not None and kind == "svg"):
        return Found([], [], [(path, member)])
    return Found([SourceFile(path, member, kind)], [], [])


def _joined(each: Iterable[Found]) -> Found:
    joined = Found([], [], [])
    for found in each:
        joined.drawings.extend(found.drawings)
        joined.class_lists.extend(found.class_lists)
        joined.others.extend(found.others)
    return joined


def _check_not_empty(data: str, filesystem: fs.FileSystem, paths: Sequence[str]) -> None:
    if not any(info.size for info in filesystem.get_file_info(list(paths))):
        raise UserError(f"{data}: all its files are empty")
