"""SVG path data (`M 10 10 L 20 20 ...`) -> strokes.

Grammar and arcs after https://www.w3.org/TR/SVG2/paths.html and its appendix on arcs.
"""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FLAG = re.compile(r"[01]")
_SPACE = re.compile(r"[\s,]*")
_COUNTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
# Points of a curve: enough for one as wide as the drawing; simplification thins them.
_PIECES = 24

_Point = npt.NDArray[np.float64]


def strokes_of_path(data: str) -> list[npt.NDArray[np.float64]]:
    """Return the strokes of path data, each float64 [2, n] in its own coordinates; y points down.

    Raises:
        UserError: the data break the grammar.
    """
    strokes: list[list[_Point]] = []
    current = start = np.zeros(2)
    control: _Point | None = None  # control point of the curve before, for smooth curves
    last = ""
    for command, numbers in _segments(data):
        kind = command.upper()
        offset = current if command.islower() else np.zeros(2)
        if kind == "M":
            current = start = offset + numbers
            strokes.append([current])
        elif kind == "Z":
            _line(strokes, current, [start.copy()])
            current = start
        elif kind == "A":
            end = offset + numbers[5:]
            _line(strokes, current, _arc(current, numbers, end))
            current = end
        elif kind in "HV":
            axis = "HV".index(kind)
            current, before = current.copy(), current
            current[axis] = offset[axis] + numbers[0]
            _line(strokes, before, [current])
        else:
            points = [offset + pair for pair in numbers.reshape(-1, 2)]
            if kind in "ST":
                smooth = control is not None and last in ("CS" if kind == "S" else "QT")
                mirrored = 2 * current - control if smooth and control is not None else current
                points = [mirrored, *points]
            control = points[-2] if len(points) > 1 else None
            _line(strokes, current, _bezier([current, *points]))
            current = points[-1]
        last = kind
    return [np.stack(points, axis=1) for points in strokes if len(points) > 1]


def _line(strokes: list[list[_Point]], begin: _Point, points: list[_Point]) -> None:
    """Continue the last stroke; after a closed one, begin a new stroke where it was closed."""
    if not strokes or strokes[-1][-1] is not begin:
        strokes.append([begin])
    strokes[-1] += points


def _segments(data: str) -> list[tuple[str, npt.NDArray[np.float64]]]:
    """Return each command with its numbers; a repeated command gets its letter back."""
    segments: list[tuple[str, npt.NDArray[np.float64]]] = []
    position = _end(_SPACE.match(data))
    command = ""
    while position < len(data):
        if data[position].upper() in _COUNTS:
            command, position = data[position], position + 1
        elif command in ("", "z", "Z"):
            raise UserError(f"path data with {data[position]!r} at character {position + 1}")
        if not segments and command not in "Mm":
            raise UserError("path data that do not begin with M")
        numbers = []
        for index in range(_COUNTS[command.upper()]):
            position = _end(_SPACE.match(data, position))
            pattern = _FLAG if command in "Aa" and index in (3, 4) else NUMBER
            found = pattern.match(data, position)
            if found is None:
                raise UserError(f"path data without a number at character {position + 1}")
            numbers.append(float(found[0]))
            position = found.end()
        segments.append((command, np.array(numbers)))
        # Further pairs after a move are lines.
        command = {"M": "L", "m": "l"}.get(command, command)
        position = _end(_SPACE.match(data, position))
    return segments


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # the pattern also matches the empty string
    return match.end()


def _bezier(points: list[_Point]) -> list[_Point]:
    """Return points on a line, a quadratic or a cubic curve, without its first point."""
    if len(points) == 2:
        return points[1:]
    t = np.linspace(0, 1, _PIECES + 1)[1:, None]
    curves: list[Any] = list(points)
    while len(curves) > 1:  # de Casteljau's algorithm
        curves = [(1 - t) * a + t * b for a, b in pairwise(curves)]
    return [*curves[0][:-1], points[-1]]


def _arc(begin: _Point, numbers: npt.NDArray[np.float64], end: _Point) -> list[_Point]:
    """Return points on an elliptical arc, without its first point (SVG 2, appendix B.2.4)."""
    radii, angle = np.abs(numbers[:2]), np.deg2rad(numbers[2])
    if not radii.all() or np.array_equal(begin, end):
        return [end]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    half = turn @ (begin - end) / 2 / radii
    size = float(half @ half)
    if size > 1:  # radii that are too small to reach are scaled up
        radii, half, size = radii * np.sqrt(size), half / np.sqrt(size), 1.0
    side = -1 if numbers[3] == numbers[4] else 1
    centre = side * np.sqrt((1 - size) / size) * np.array([half[1], -half[0]])
    first = np.arctan2(*(half - centre)[::-1])
    sweep = np.arctan2(*(-half - centre)[::-1]) - first
    if numbers[4] and sweep < 0:
        sweep += 2 * np.pi
    elif not numbers[4] and sweep > 0:
        sweep -= 2 * np.pi
    angles = first + sweep * np.linspace(0, 1, _PIECES + 1)[1:-1]
    circle = np.stack([np.cos(angles), np.sin(angles)]) + centre[:, None]
    points = turn.T @ (radii[:, None] * circle) + ((begin + end) / 2)[:, None]
    return [*points.T, end]
