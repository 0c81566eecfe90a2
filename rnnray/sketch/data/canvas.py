"""Drawings in the forms of files and canvases -> the strokes and ink that the classifier reads.

Strokes come as lists `[[x, ...], [y, ...]]` (with times, `[t, ...]`, as third), as in the official
files, or as points `[[x, y], ...]`, `[[x, y, t], ...]`, `[{"x": x, "y": y}, ...]`, as a canvas
collects them. x comes first and y points down, since a single drawing cannot show otherwise.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.sketch.data.ink import ink_of_points, join_strokes
from rnnray.sketch.data.simplify import is_simplified, simplify

Layout = Literal["lists", "points"]
"""The meaning of nested lists: lists of x, y and perhaps times, or points of these numbers."""

# Sizes of a point: x and y, and perhaps time.
_NUMBERS = {2, 3}
# Limit of drawings that wait for the first unambiguous one of their source.
_MOST_HELD = 1000
# Lines that go the other way round are often a little shorter by chance, seldom half as long.
_MUCH_SHORTER = 2.0

_Item = TypeVar("_Item")


def drawing_to_ink(
    drawing: Any, *, layout: Layout | None = None, y_up: bool = False
) -> npt.NDArray[np.float32]:
    """Return the ink of a drawing in any form of this module, simplified first if needed.

    A drawing counts as simplified if it has no times, only whole numbers from 0 to 255, and no more
    points than the official simplified drawings have for their length (`is_simplified`).

    Args:
        drawing: sequence of strokes, in any unit. A stroke is a mapping of `x` and `y` to sequences
            of numbers, an array [2, n] or [n, 2], or a sequence of lists or points. A mapping of
            `x` and `y` to sequences with one such sequence a stroke is a drawing, too.
        layout: layout of ambiguous strokes; None decides by this drawing alone (`layout_of`).
        y_up: y grows upwards, as in mathematics, and not downwards, as on screens.

    Returns:
        float32 [n, 3], see `rnnray.sketch.data.ink.strokes_to_ink`.

    Raises:
        UserError: it is no drawing: no strokes, fewer than 2 points, NaN, other forms.
    """
    strokes, timed = as_strokes(drawing, layout)
    points, ends = join_strokes(strokes)
    if timed or not is_simplified(points, ends):
        points, ends = join_strokes(simplify(np.split(points, ends[:-1], axis=1)))
    ink = ink_of_points(points, ends)
    return ink * np.array([1, -1, 1], np.float32) if y_up else ink


def as_strokes(drawing: Any, layout: Layout | None = None) -> tuple[list[npt.ArrayLike], bool]:
    """Return a drawing's strokes as pairs of x and y, and whether it has times, as raw ones do.

    Args:
        drawing: see `drawing_to_ink`.
        layout: layout of ambiguous strokes.

    Returns:
        Array-likes [2, n_i] for `join_strokes`, with unchecked numbers; and whether there are
        times.

    Raises:
        UserError: the strokes are in none of the forms, or not all in the same.
    """
    filled = [stroke for stroke in _plain(drawing) if len(stroke)]
    possible = _possible(filled)
    if not possible:
        raise UserError(_refusal(filled))
    chosen = possible[0] if len(possible) == 1 else layout or layout_of([filled])
    if chosen == "lists":
        timed = any(len(stroke) > len("xy") for stroke in filled)
        return [stroke[:2] for stroke in filled], timed
    timed = any(len(stroke[0]) > len("xy") for stroke in filled)
    return [[[point[0] for point in s], [point[1] for point in s]] for s in filled], timed


def layout_of(drawings: Iterable[Any]) -> Layout:
    """Return the layout of the drawings of one source, all of which are ambiguous.

    Ambiguous drawings have 2 or 3 entries in every stroke, of 2 or 3 numbers each. They are lists,
    as in the official files, with two exceptions. The first: as lists they would have times that do
    not ascend from 0 through a drawing, as points they would not. The second: the pen's way through
    all drawings is less than half as long if they are points.
    """
    ways = np.zeros(2)
    for drawing in drawings:
        try:
            filled = [stroke for stroke in _plain(drawing) if len(stroke)]
            if len(_possible(filled)) < 2:
                continue
            lists = [np.asarray(stroke, np.float64) for stroke in filled]
        except (UserError, ValueError, TypeError, OverflowError):  # `as_strokes` will refuse it
            continue
        points = [stroke.T for stroke in lists]
        if _has_impossible_times(lists) != _has_impossible_times(points):
            return "points" if _has_impossible_times(lists) else "lists"
        ways += [_way(lists), _way(points)]
    return "points" if ways[0] > _MUCH_SHORTER * ways[1] else "lists"


def with_layouts(
    items: Iterable[_Item], drawing_of: Callable[[_Item], Any]
) -> Iterator[tuple[_Item, Layout]]:
    """Yield the items of one source in order, each with the layout of its drawing.

    An ambiguous drawing has the layout of the source's first unambiguous one. If the first 1,000
    are all ambiguous, `layout_of` decides for all.

    Args:
        items: items of the source, such as the lines of a file.
        drawing_of: returns the drawing of an item. Invalid drawings are passed through, for
            `as_strokes` to refuse.
    """
    known: Layout | None = None
    held: list[_Item] = []

    def release() -> Iterator[tuple[_Item, Layout]]:
        layout = known or layout_of(drawing_of(item) for item in held)
        yield from ((item, layout) for item in held)

    try:
        for item in items:
            if known is None:
                held.append(item)
                known = _only_layout(drawing_of(item))
                if known is None and len(held) < _MOST_HELD:
                    continue
                known = known or layout_of(drawing_of(each) for each in held)
                yield from release()
                held = []
            else:
                yield item, known
    except Exception:
        yield from release()  # a file that is damaged later still has drawings up to there
        raise
    yield from release()


def _plain(drawing: Any) -> list[Any]:
    """Return the strokes of a drawing without mappings."""
    if isinstance(drawing, Mapping):
        columns = _x_and_y(drawing, "the drawing")
        if not all(_is_sequence(column) for column in columns):
            raise UserError("a drawing must be a list of strokes; its x and y are not lists")
        if len(columns[0]) != len(columns[1]):
            raise UserError("the drawing's x and y have different numbers of strokes")
        drawing = [list(stroke) for stroke in zip(*columns, strict=True)]
    if not _is_sequence(drawing):
        raise UserError("a drawing must be a list of strokes")
    return [_plain_stroke(stroke, number) for number, stroke in enumerate(drawing, start=1)]


def _plain_stroke(stroke: Any, number: int) -> Any:
    if _is_mapping(stroke):
        stroke = _x_and_y(stroke, f"stroke {number}")
    if not _is_sequence(stroke):
        raise UserError(f"a drawing must be a list of strokes; stroke {number} is not a list")
    if len(stroke) and _is_mapping(stroke[0]):
        if not all(isinstance(point, Mapping) for point in stroke):
            raise UserError(f"stroke {number} has points with x and y, and points without")
        stroke = [_x_and_y(point, f"a point of stroke {number}") for point in stroke]
    if not all(_is_sequence(entry) for entry in stroke):
        raise UserError(
            f"stroke {number} must be two lists (x, y) or a list of points; "
            "a drawing of one stroke is a list that holds this stroke"
        )
    return stroke


def _x_and_y(mapping: Mapping[Any, Any], what: str) -> list[Any]:
    if "x" not in mapping or "y" not in mapping:
        raise UserError(
            f"{what} has no x and y; it has {', '.join(map(str, mapping)) or 'nothing'}"
        )
    return [mapping["x"], mapping["y"]]


def _is_sequence(value: Any) -> bool:
    if isinstance(value, list):  # called millions of times, and abstract classes answer slowly
        return True
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_mapping(value: Any) -> bool:
    return not isinstance(value, list) and isinstance(value, Mapping)


def _possible(filled: Sequence[Any]) -> tuple[Layout, ...]:
    """Return the layouts that the lengths of the strokes allow; empty strokes allow all."""
    if not filled:
        return ("lists",)
    outer = {len(stroke) for stroke in filled}
    found: list[Layout] = []
    if len(outer) == 1 and outer <= _NUMBERS and all(len(s[0]) == len(s[1]) for s in filled):
        found.append("lists")
    inner = {len(entry) for stroke in filled for entry in stroke}
    if len(inner) == 1 and inner <= _NUMBERS:
        found.append("points")
    return tuple(found)


def _only_layout(drawing: Any) -> Layout | None:
    try:
        possible = _possible([stroke for stroke in _plain(drawing) if len(stroke)])
    except UserError:
        return None
    return possible[0] if len(possible) == 1 else None


def _refusal(filled: Sequence[Any]) -> str:
    for number, stroke in enumerate(filled, start=1):
        if not _possible([stroke]):
            return (
                f"stroke {number} is not two lists of numbers (x, y) of the same length, "
                "nor a list of points of 2 or 3 numbers (x, y, perhaps t)"
            )
    return (
        "every stroke must have two lists (x, y), or every stroke three (x, y, t), or all points "
        "2 numbers (x, y), or all points 3 (x, y, t)"
    )


def _has_impossible_times(strokes: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Return whether strokes [2 or 3, n_i] have a third row that does not ascend from 0."""
    if len(strokes[0]) == len("xy"):
        return False
    times = np.concatenate([stroke[2] for stroke in strokes])
    return bool(times[0] != 0 or (times[1:] < times[:-1]).any())


def _way(strokes: Sequence[npt.NDArray[np.float64]]) -> float:
    """Return the length of the pen's way through strokes [2 or 3, n_i], lifted or not."""
    points = np.concatenate([stroke[:2] for stroke in strokes], axis=1)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite coordinates are refused later
        return float(np.hypot(*np.diff(points)).sum())
