import re
from pathlib import Path

import numpy as np
import pytest
from observed import refused

from rnnray.sketch.data.canvas import as_strokes, drawing_to_ink, layout_of, with_layouts
from rnnray.sketch.data.ink import join_strokes, strokes_to_ink
from rnnray.sketch.data.ndjson import read
from rnnray.sketch.data.simplify import is_simplified, resample, simplify

CASES = Path(__file__).parents[4] / "shared/cases/sketch"

# A house: a square of five corners and a roof, as the official files would have it.
HOUSE = [[[0, 200, 200, 0, 0], [100, 100, 255, 255, 100]], [[0, 100, 200, 210], [100, 0, 100, 90]]]
CORNERS = [np.array(stroke).T.tolist() for stroke in HOUSE]
LINES = [[[0, 0], [100, 0]], [[100, 0], [100, 100]], [[100, 100], [0, 100]], [[0, 100], [0, 0]]]
SQUARE = [[[0, 100], [0, 0]], [[100, 100], [0, 100]], [[100, 0], [100, 100]], [[0, 0], [100, 0]]]


def drawn_on_a_canvas(factor: float = 1.0) -> list[np.ndarray]:
    """The house as a canvas of another size reports it, in many points."""
    return [factor * resample(np.array(stroke, np.float64)) for stroke in HOUSE]


@pytest.mark.parametrize(
    "drawing",
    [
        HOUSE,
        [np.array(stroke) for stroke in HOUSE],
        CORNERS,
        [np.array(stroke) for stroke in CORNERS],
        [tuple(map(tuple, stroke)) for stroke in CORNERS],
        [[{"x": x, "y": y, "pressure": 1} for x, y in stroke] for stroke in CORNERS],
        [{"x": x, "y": y} for x, y in HOUSE],
        {"x": [stroke[0] for stroke in HOUSE], "y": [stroke[1] for stroke in HOUSE]},
        [[], *HOUSE, []],
        drawn_on_a_canvas(),
        drawn_on_a_canvas(3.3),
        [[*stroke, range(stroke.shape[1])] for stroke in drawn_on_a_canvas()],
        [
            [(x, y, t) for t, (x, y) in enumerate(stroke.T.tolist())]
            for stroke in drawn_on_a_canvas()
        ],
        [np.array(stroke) / 255 for stroke in HOUSE],
    ],
    ids=[
        *("official", "arrays", "points", "point arrays", "tuples", "x and y", "columns"),
        *("columns of all", "empty strokes", "pixels", "a large canvas", "raw", "timed points"),
        "from 0 to 1",
    ],
)
def test_a_drawing_in_any_form_is_the_drawing_of_the_official_files(drawing):
    expected = strokes_to_ink(HOUSE)
    ink = drawing_to_ink(drawing)
    assert ink.shape == expected.shape
    np.testing.assert_allclose(ink, expected, atol=0.012)  # a corner is cut by up to 2 px


def test_a_drawing_with_y_upwards_is_turned_over_when_that_is_said():
    upwards = [[stroke[0], [255 - y for y in stroke[1]]] for stroke in HOUSE]
    np.testing.assert_allclose(drawing_to_ink(upwards, y_up=True), drawing_to_ink(HOUSE))
    assert not np.allclose(drawing_to_ink(upwards), drawing_to_ink(HOUSE))


@pytest.mark.parametrize(
    ("drawing", "layout"),
    [
        ([[[0, 255], [51, 0]]], "lists"),  # "line" and "rain" of the official files
        ([[[5, 255], [0, 10]], [[0, 75], [19, 23]]], "lists"),
        ([[[1, 1, 13], [255, 138, 0]]], "lists"),
        (LINES, "points"),
        ([[[0, 0], [100, 0], [50, 30]]], "points"),  # as lists its times would begin with 50
        ([[[0, 9], [5, 7], [0, 16]]], "lists"),
        ([[[0, 9, 0], [5, 7, 16]]], "points"),  # x, y, t
    ],
)
def test_what_can_be_read_both_ways_is_read_by_the_stated_rule(drawing, layout):
    assert layout_of([drawing]) == layout


@pytest.mark.parametrize(("plain", "layout"), [(HOUSE, "lists"), (CORNERS, "points")])
def test_what_can_be_read_both_ways_is_read_like_the_rest_of_its_file(plain, layout):
    items = [LINES, "no drawing", SQUARE, plain, LINES]
    assert list(with_layouts(items, lambda item: item)) == [(item, layout) for item in items]


def test_drawings_that_were_held_back_are_not_lost_where_their_file_is_damaged():
    def damaged():
        yield LINES
        raise EOFError

    items = with_layouts(damaged(), lambda item: item)
    assert next(items) == (LINES, "points")
    with pytest.raises(EOFError):
        next(items)


@pytest.mark.parametrize(
    ("drawing", "message"),
    [
        ([], "no points"),
        ([[]], "no points"),
        ([[[5, 7]]], "1 point"),
        ([[[0, float("nan"), 1, 2], [0, 1, 2, 3]]], "NaN"),
        ([[{"x": 0, "y": None}, {"x": 1, "y": 1}]], "stroke 1 "),
        ([[{"x": 0}]], "a point of stroke 1 has no x and y; it has x"),
        ([[[0, 0], [1, 1], {"x": 0, "y": 1}]], "stroke 1 "),
        ([(0, 0), (1, 1)], "one stroke is a list that holds this stroke"),
        ([[[0, 1, 2, 3], [0, 1, 2]]], "stroke 1 is not two lists .* nor a list of points"),
        ([[[0, 1, 2, 3], [0, 1, 2, 3]], [[0, 1]] * 4], "every stroke"),
        ("[[[0, 1], [0, 1]]]", "list of strokes"),
        (7, "list of strokes"),
    ],
)
def test_what_is_no_drawing_in_any_form_is_refused_in_one_line(drawing, message):
    assert re.search(message, refused(drawing_to_ink, drawing))


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("file", "expected"), [("pointmajor_2pt", LINES), ("dictpoints", [[[0, 0], [9, 0], [9, 9]]])]
)
def test_points_in_a_file_are_read_as_points(file, expected):
    path = CASES / f"{file}.ndjson"
    drawings = list(read(path.read_bytes().splitlines(), file=path.name))
    expected = strokes_to_ink([np.array(stroke).T for stroke in expected])
    np.testing.assert_array_equal(drawings[0].ink, expected)


def test_real_drawings_are_left_as_they_are_and_real_canvases_are_simplified(real_drawings):
    for strokes in real_drawings:
        assert is_simplified(*join_strokes(strokes))
    for drawing, layout in with_layouts(real_drawings, lambda drawing: drawing):
        assert as_strokes(drawing, layout) == (drawing, False)
    dense = 0
    for strokes in real_drawings[:500]:  # in pixels, as a canvas of 256 x 256 has them
        canvas = [np.rint(resample(np.array(stroke, np.float64))) for stroke in strokes]
        if not is_simplified(*join_strokes(canvas)):
            dense += 1
            np.testing.assert_array_equal(drawing_to_ink(canvas), strokes_to_ink(simplify(canvas)))
    assert dense > 490
