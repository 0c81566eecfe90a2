from pathlib import Path

import numpy as np
import pytest

from rnnray.errors import UserError
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.svg import strokes_of
from rnnray.sketch.data.svg_path import strokes_of_path


def svg(content: str) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="9">{content}</svg>'.encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("M1,2 L3 4", [[[1, 3], [2, 4]]]),
        ("m1 2 2 2-1-1.5.5 0", [[[1, 3, 2, 2.5], [2, 4, 2.5, 2.5]]]),
        ("M0 0h5v5H1V1z", [[[0, 5, 5, 1, 1, 0], [0, 0, 5, 5, 1, 0]]]),
        ("M0 0L1 1M5 5l1 0", [[[0, 1], [0, 1]], [[5, 6], [5, 5]]]),
        ("M1 1h1z l0 5", [[[1, 2, 1], [1, 1, 1]], [[1, 1], [1, 6]]]),
        ("M0 0", []),
    ],
)
def test_lines_of_a_path(data: str, expected: list) -> None:
    found = strokes_of_path(data)
    assert [stroke.tolist() for stroke in found] == expected


def test_curves_and_arcs_go_where_svg_says() -> None:
    (curve,) = strokes_of_path("M0 0C0 10 10 10 10 0S20-10 20 0Q25 5 30 0T40 0")
    middles = curve[:, [12, 24, 36, 48, 60, 72, 84, 96]]
    assert middles.tolist() == [
        [5, 10, 15, 20, 25, 30, 35, 40],
        [7.5, 0, -7.5, 0, 2.5, 0, -2.5, 0],
    ]
    for flags, y in (("0 1", -5), ("0 0", 5), ("11", -5), ("10", 5)):
        (arc,) = strokes_of_path(f"M0 0A5 5 0 {flags} 10 0")
        np.testing.assert_allclose(arc[:, 12], [5, y], atol=1e-9)
        np.testing.assert_allclose(np.hypot(arc[0] - 5, arc[1]), 5)


def test_shapes_are_placed_by_their_transforms_and_definitions_are_not_drawn() -> None:
    content = svg(
        '<defs><path d="M0 0L9 9"/></defs><rect width="9" height="9"/>'
        '<g transform="translate(10 5) scale(2)"><polyline points="0,0 1,0 1,1"/>'
        '<line x1="0" y1="0" x2="1" y2="1" transform="rotate(90)"/></g>'
        '<polygon points="0 0 1 0 1 1"/><circle cx="5" cy="5" r="2"/>'
    )
    polyline, line, polygon, circle = (np.array(stroke) for stroke in strokes_of(content))
    assert polyline.tolist() == [[10, 12, 12], [5, 5, 7]]
    np.testing.assert_allclose(line, [[10, 8], [5, 7]])
    assert polygon.tolist() == [[0, 1, 1, 0], [0, 0, 1, 0]]
    np.testing.assert_allclose(np.hypot(*(circle - 5)), 2)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<svg><path", "broken XML"),
        (b"<html><svg/></html>", "root is <html>"),
        (svg('<path d="M1"/>'), "without a number at character 3"),
        (svg('<path d="L1 1"/>'), "do not begin with M"),
        (svg('<g transform="scale(1 2 3)"/>'), "the transform scale with 3 numbers"),
    ],
)
def test_what_is_no_drawing_says_why(content: bytes, why: str) -> None:
    with pytest.raises(UserError, match=why):
        strokes_of(content)


def test_a_folder_of_svg_files_has_the_folders_for_words(tmp_path: Path) -> None:
    for word in ("cat", "dog"):
        for number in range(3):
            path = tmp_path / word / f"{number}.svg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(svg(f'<path d="M0 0L{9 + number} 9L0 5"/>'))
    drawings = open_drawings(str(tmp_path), class_names=("cat", "dog"))
    (group,) = drawings.parts("all")
    (rows,) = group.tables(origin=True, on_bad=None)
    assert rows["class_index"].to_pylist() == [0, 0, 0, 1, 1, 1]
    assert rows["true_class"].to_pylist() == ["cat"] * 3 + ["dog"] * 3
    assert [len(ink) for ink in rows["ink"].to_pylist()] == [6] * 6
