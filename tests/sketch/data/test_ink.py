import re

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import refused

from rnnray.sketch.data.ink import ink_to_strokes, strokes_to_ink

strokes_of_pixels = hnp.arrays(
    np.int64, st.tuples(st.just(2), st.integers(1, 20)), elements=st.integers(0, 255)
)
drawings = st.lists(strokes_of_pixels, min_size=1, max_size=8).filter(
    lambda strokes: sum(stroke.shape[1] for stroke in strokes) > 1
)
# A first stroke of one point is the one thing that ink cannot hold.
drawings_to_restore = drawings.filter(lambda strokes: strokes[0].shape[1] > 1)


def tutorial_ink(strokes):
    """What the tutorial's text says, point by point, in float32."""
    points = np.concatenate(strokes, axis=1).T.astype(np.float32)
    ends = [i + 1 == len(stroke[0]) for stroke in strokes for i in range(len(stroke[0]))]
    lower, upper = points.min(axis=0), points.max(axis=0)
    scale = np.where(upper == lower, np.float32(1), upper - lower)
    points = (points - lower) / scale
    rows = [[*(points[i] - points[i - 1]), ends[i]] for i in range(1, len(points))]
    return np.array(rows, dtype=np.float32)


def test_a_drawing_worked_out_by_hand_gives_the_ink_that_the_book_s_model_reads():
    strokes = [[[10, 20, 20], [5, 5, 25]], [[15, 15], [15, 25]]]  # a box of 10 x 20 at (10, 5)
    ink = strokes_to_ink(strokes)
    assert ink.dtype == np.float32
    assert ink.tolist() == [[1, 0, 0], [0, 1, 1], [-0.5, -0.5, 0], [0, 0.5, 1]]


@given(drawings)
def test_ink_is_bit_for_bit_that_of_the_tutorial_s_training_set(strokes):
    ink = strokes_to_ink(strokes)
    np.testing.assert_array_equal(ink, tutorial_ink(strokes))


@given(drawings_to_restore)
def test_a_drawing_that_is_shown_from_its_ink_has_its_strokes_and_shape(strokes):
    points = np.concatenate(strokes, axis=1).astype(np.float64)
    extent = np.ptp(points, axis=1)
    extent[extent == 0] = 1
    origin = strokes[0][:, :1]

    restored = ink_to_strokes(strokes_to_ink(strokes))

    assert [stroke.shape for stroke in restored] == [stroke.shape for stroke in strokes]
    for got, stroke in zip(restored, strokes, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, (stroke - origin) / extent[:, None], atol=1e-5)


@given(drawings_to_restore)
def test_ink_survives_being_drawn_and_read_again(strokes):
    ink = strokes_to_ink(strokes)
    again = strokes_to_ink(ink_to_strokes(ink))
    np.testing.assert_array_equal(again[:, 2], ink[:, 2])
    np.testing.assert_allclose(again, ink, atol=1e-4)


@given(drawings, st.floats(0.01, 100), st.floats(0.01, 100), st.floats(-1000, 1000))
def test_the_same_drawing_on_another_screen_gives_the_same_ink(strokes, width, height, shift):
    stretch = np.array([[width], [height]])
    elsewhere = [stroke * stretch + shift for stroke in strokes]
    np.testing.assert_allclose(strokes_to_ink(elsewhere), strokes_to_ink(strokes), atol=1e-5)


def test_a_horizontal_line_has_finite_ink_that_runs_from_side_to_side():
    assert strokes_to_ink([[[3, 5, 7], [4, 4, 4]]]).tolist() == [[0.5, 0, 0], [0.5, 0, 1]]


def test_a_dot_has_finite_ink_that_stays_in_place():
    assert strokes_to_ink([[[7, 7], [4, 4]]]).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("extent", [1e-310, 1e300])
def test_extreme_coordinates_neither_overflow_nor_warn(extent):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert strokes_to_ink([[[0, extent], [0, -extent]]]).tolist() == [[1, -1, 1]]


def test_strokes_without_points_leave_no_trace():
    strokes = [[[], []], [[0, 1], [0, 1]], [[], []], [[1, 0], [0, 0]], [[], []]]
    assert strokes_to_ink(strokes).tolist() == [[1, 1, 1], [0, -1, 0], [-1, 0, 1]]


def test_a_first_stroke_of_one_point_comes_back_as_the_beginning_of_the_second():
    ink = strokes_to_ink([[[0], [0]], [[1, 1], [0, 1]]])
    assert ink.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert [stroke.tolist() for stroke in ink_to_strokes(ink)] == [[[0, 1, 1], [0, 0, 1]]]


def test_cropped_ink_is_drawn_to_its_last_point():
    strokes = ink_to_strokes([[1, 0, 1], [0, 1, 0], [0, 1, 0]])
    assert [stroke.tolist() for stroke in strokes] == [[[0, 1], [0, 0]], [[1, 1], [1, 2]]]
    assert [stroke.tolist() for stroke in ink_to_strokes(np.empty((0, 3)))] == [[[0], [0]]]


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([], "no points"),
        ([[[], []]], "no points"),
        ([[[1], [2]]], "1 point; it needs at least 2"),
        ([[[1, float("nan")], [2, 3]]], "NaN"),
        ([[[1, 2], [3, float("inf")]]], "infinite"),
        ([[[1, -1e301], [2, 3]]], "beyond 1e300"),
        ([[[1, 2], [3, 4]], [[1, 2, 3], [4, 5]]], "stroke 2 .* same length"),
        ([[[1, 2], [3, 4], [5, 6]]], "stroke 1 "),
        ([[1, 2]], "stroke 1 "),
        ([[["1", "2"], ["3", "4"]]], "stroke 1 "),
        ([[[None, 2], [3, 4]]], "stroke 1 "),
        ([[[True, False], [True, True]]], "stroke 1 "),
        ([[[10**400, 1.5], [2, 3]]], "stroke 1 "),
    ],
)
def test_what_is_no_drawing_is_refused_in_one_line(strokes, message):
    assert re.search(message, refused(strokes_to_ink, strokes))


def test_real_drawings_become_the_ink_that_the_tutorial_makes_of_them(real_drawings):
    assert len(real_drawings) == 6890
    for strokes in real_drawings:
        ink = strokes_to_ink(strokes)
        np.testing.assert_array_equal(ink, tutorial_ink(strokes))
        assert ink[-1, 2] == 1.0
        points = np.concatenate([np.zeros((1, 2)), np.cumsum(ink[:, :2], axis=0, dtype=float)])
        flat = np.ptp(np.concatenate(strokes, axis=1), axis=1) == 0
        np.testing.assert_allclose(np.ptp(points, axis=0), np.where(flat, 0, 1), atol=1e-5)
