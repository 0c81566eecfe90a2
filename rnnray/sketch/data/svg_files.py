"""SVG files of drawings: a single one, or all in a zip archive.

A drawing's word is the name of its folder, as in the TU Berlin sketches; its `key_id` is the file's
name.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data.ndjson import Drawing, Record, report, to_drawings
from rnnray.sketch.data.svg import strokes_of
from rnnray.sketch.data.tfrecord_file import OnBad
from rnnray.sketch.data.unpacking import Archive, is_archive, open_content

_SUFFIX = ".svg"
_MAX_BYTES = 64 << 20


def is_svg(name: str) -> bool:
    """Return whether a file is SVG, by its name."""
    return name.lower().endswith(_SUFFIX)


def read(filesystem: fs.FileSystem, path: str, *, on_bad: OnBad | None = None) -> Iterator[Drawing]:
    """Yield the drawings of a file, or of all SVG files in an archive, numbered from 1.

    Args:
        filesystem: file system of the file.
        path: path within the file system.
        on_bad: takes the error of a file that is no drawing, and reading goes on.

    Raises:
        UserError: a file that is no drawing, without `on_bad`.
    """
    archive = Archive(filesystem, path) if is_archive(filesystem, path) else None
    names = [name for name in archive.names() if is_svg(name)] if archive else [""]
    places = [f"{path}/{name}" if name else path for name in names]

    def bad(number: int, error: UserError) -> None:
        report(UserError(f"{places[number - 1]}: {error}"), on_bad)

    def records() -> Iterator[Record]:
        for number, (name, place) in enumerate(zip(names, places, strict=True), start=1):
            file = PurePosixPath(place)
            fields: dict[str, Any] = {"word": file.parent.name or None, "key_id": file.stem}
            try:
                with archive.open(name) if archive else open_content(filesystem, path) as stream:
                    content = stream.read(_MAX_BYTES + 1)
                if len(content) > _MAX_BYTES:
                    raise UserError(f"larger than {_MAX_BYTES >> 20} MiB, too large for a drawing")
                yield Record(number, fields | {"drawing": strokes_of(content)}, layout="lists")
            except (UserError, OSError) as error:
                bad(number, UserError(str(error)))

    yield from to_drawings(records(), bad)
