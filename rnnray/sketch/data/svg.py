"""SVG files as drawings: each path, polyline, polygon, line, circle and ellipse is drawn.

A drawing's word is the name of its folder, as in the TU Berlin sketches; its `key_id` is the file's
name.
After https://www.w3.org/TR/SVG2/paths.html. Curves become short straight lines. Colours, widths,
fills and rectangles (backgrounds) are left out, and so are shapes that are only defined.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.ndjson import Drawing, Record, to_drawings
from rnnray.sketch.data.svg_path import NUMBER, strokes_of_path
from rnnray.sketch.data.unpacking import Archive, is_archive, open_content

_SUFFIX = ".svg"
_MAX_BYTES = 64 << 20
_NOT_DRAWN = {"defs", "clipPath", "mask", "symbol", "pattern", "marker"}
_TRANSFORM = re.compile(r"(\w+)\s*\(([^)]*)\)")
_CIRCLE_POINTS = 64

_Matrix = npt.NDArray[np.float64]


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
    file_names = [f"{path}/{name}" if name else path for name in names]

    def bad(number: int, error: UserError) -> None:
        report(UserError(f"{file_names[number - 1]}: {error}"), on_bad)

    def records() -> Iterator[Record]:
        for number, (name, file_name) in enumerate(zip(names, file_names, strict=True), start=1):
            file = PurePosixPath(file_name)
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


def strokes_of(content: bytes) -> list[list[list[float]]]:
    """Return the strokes of one SVG file, as lists of x and y.

    Raises:
        UserError: it is no SVG, or nothing is drawn in it; the message names no file.
    """
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise UserError(f"broken XML ({error})") from error
    except (RecursionError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise UserError(f"cannot be read as XML ({error})") from error
    if _tag(root) != "svg":
        raise UserError(f"not SVG: its root is <{_tag(root)}>")
    return [stroke.tolist() for stroke in _strokes(root)]


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _strokes(root: ElementTree.Element) -> Iterator[npt.NDArray[np.float64]]:
    """Yield each stroke, [2, n], in the order of the file, in the outermost coordinates."""
    pending: list[tuple[ElementTree.Element, _Matrix]] = [(root, np.eye(3))]
    while pending:  # no recursion: elements may be nested deeper than Python's calls
        element, outer = pending.pop()
        tag = _tag(element)
        if tag in _NOT_DRAWN:
            continue
        matrix = outer @ _matrix(element.get("transform", ""))
        for stroke in _shape(tag, element.attrib):
            yield (matrix @ np.vstack([stroke, np.ones(stroke.shape[1])]))[:2]
        pending += [(child, matrix) for child in reversed(element)]


def _shape(tag: str, attributes: dict[str, str]) -> list[npt.NDArray[np.float64]]:
    if tag == "path":
        return strokes_of_path(attributes.get("d", ""))
    if tag in ("polyline", "polygon"):
        numbers = _numbers(attributes.get("points", ""))
        points = np.array(numbers[: len(numbers) // 2 * 2]).reshape(-1, 2).T
        return [np.hstack([points, points[:, :1]]) if tag == "polygon" else points]
    if tag == "line":
        values = [_length(attributes, name) for name in ("x1", "x2", "y1", "y2")]
        return [np.array(values).reshape(2, 2)]
    if tag in ("circle", "ellipse"):
        rx = _length(attributes, "r" if tag == "circle" else "rx")
        ry = rx if tag == "circle" else _length(attributes, "ry")
        angle = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS + 1)
        centre = np.array([[_length(attributes, "cx")], [_length(attributes, "cy")]])
        return [centre + np.stack([rx * np.cos(angle), ry * np.sin(angle)])]
    return []


def _numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


def _length(attributes: dict[str, str], name: str) -> float:
    return next(iter(_numbers(attributes.get(name, "0"))), 0.0)


def _matrix(text: str) -> _Matrix:
    """Return the matrix of a `transform` attribute."""
    result: _Matrix = np.eye(3)
    for name, arguments in _TRANSFORM.findall(text):
        result = result @ _one_matrix(name, _numbers(arguments))
    return result


def _one_matrix(name: str, numbers: list[float]) -> _Matrix:
    count = len(numbers)
    rows: Any = None
    if name == "matrix" and count == 6:
        rows = [numbers[0::2], numbers[1::2]]
    elif name == "translate" and count in (1, 2):
        rows = [[1, 0, numbers[0]], [0, 1, numbers[1] if count == 2 else 0]]
    elif name == "scale" and count in (1, 2):
        rows = [[numbers[0], 0, 0], [0, numbers[-1], 0]]
    elif name == "rotate" and count in (1, 3):
        cos, sin = np.cos(np.deg2rad(numbers[0])), np.sin(np.deg2rad(numbers[0]))
        x, y = numbers[1:] or (0.0, 0.0)
        rows = [[cos, -sin, x - x * cos + y * sin], [sin, cos, y - x * sin - y * cos]]
    elif name in ("skewX", "skewY") and count == 1:
        slope = np.tan(np.deg2rad(numbers[0]))
        rows = [[1, slope, 0], [0, 1, 0]] if name == "skewX" else [[1, 0, 0], [slope, 1, 0]]
    if rows is None:
        raise UserError(f"the transform {name} with {count} numbers is not one of SVG's")
    return np.array([*rows, [0, 0, 1]], np.float64)
