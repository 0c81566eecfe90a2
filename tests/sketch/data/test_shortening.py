"""Long drawings keep their shape when they are shortened, and short ones are left alone."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.ink import ink_to_strokes, strokes_to_ink
from rnnray.sketch.data.shortening import shortened

NAMES = ("a",)


def table(*inks: np.ndarray) -> pa.Table:
    return sketch_table.from_inks(inks, [0] * len(inks), NAMES)


def circle(points: int) -> np.ndarray:
    """One stroke, from and to (1, 0), with a dot in the middle as a second one."""
    angle = np.linspace(0, 2 * np.pi, points)
    return strokes_to_ink([np.stack([np.cos(angle), np.sin(angle)]), np.zeros((2, 2))])


@settings(max_examples=10)
@given(st.integers(30, 60), st.integers(0, 2000))
def test_drawings_get_as_short_as_asked_and_keep_the_ends_of_their_strokes(
    most: int, start: int
) -> None:
    made = demo_drawings.inks(12, seed=0, start=start)
    rows = sketch_table.from_arrays(*made, demo_drawings.CLASS_NAMES)
    short = shortened(rows, most)
    assert short.schema == rows.schema
    assert short["class_index"].equals(rows["class_index"])
    assert sketch_table.bad_rows(short, len(demo_drawings.CLASS_NAMES), labelled=True) == []
    for before, after in zip(sketch_table.inks_of(rows), sketch_table.inks_of(short), strict=True):
        if len(before) <= most:
            np.testing.assert_array_equal(before, after)
            continue
        assert len(after) == most
        old, new = ink_to_strokes(before), ink_to_strokes(after)
        assert len(old) == len(new)
        for left, right in zip(old, new, strict=True):
            np.testing.assert_allclose(left[:, [0, -1]], right[:, [0, -1]], atol=1e-5)


def test_what_goes_first_lies_on_straight_lines() -> None:
    corner = [[0, 0, 0, 0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4, 4, 4, 4]]
    short = sketch_table.inks_of(shortened(table(strokes_to_ink([corner])), 2))[0]
    np.testing.assert_allclose(short, [[0, 1, 0], [1, 0, 1]], atol=1e-6)


def test_a_circle_stays_a_circle() -> None:
    stroke, dot = ink_to_strokes(sketch_table.inks_of(shortened(table(circle(300)), 42))[0])
    assert dot.shape[1] == 2
    radius = np.hypot(*(stroke - np.array([[-0.5], [0.0]])))
    np.testing.assert_allclose(radius, 0.5, atol=1e-2)
    assert np.hypot(*np.diff(stroke)).max() < 4 * np.pi / 40


def test_a_drawing_with_more_strokes_than_points_keeps_them_all() -> None:
    strokes = [[[x, x + 1], [0, 1]] for x in range(30)]
    ink = strokes_to_ink(strokes)
    np.testing.assert_array_equal(sketch_table.inks_of(shortened(table(ink), 20))[0], ink)


def test_no_drawings() -> None:
    rows = sketch_table.schema(NAMES).empty_table()
    assert shortened(rows, 10) is rows
