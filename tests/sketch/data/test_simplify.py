import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnray.errors import UserError
from rnnray.sketch.data.simplify import EPSILON, ramer_douglas_peucker, resample, simplify

# Tenths, as screens report them: hypothesis then finds points that coincide or are in line.
strokes_of_tenths = hnp.arrays(
    np.int64, st.tuples(st.just(2), st.integers(1, 30)), elements=st.integers(-5000, 5000)
).map(lambda stroke: stroke / 10)


def distances_to_line(points, start, end):
    """From each point [2, n] to the infinite line through two points, or to the one they are."""
    normal = np.array([start[1] - end[1], end[0] - start[0]])
    length = np.linalg.norm(normal)
    if length == 0:
        return np.linalg.norm(points - start[:, None], axis=0)
    return np.abs(normal @ (points - start[:, None])) / length


def assert_follows(points, kept):
    """Every point is within EPSILON of the line of the two kept points around it."""
    for first, last in itertools.pairwise(kept):
        between = points[:, first : last + 1]
        far = distances_to_line(between, points[:, first], points[:, last])
        assert far.max() <= EPSILON + 1e-6


def test_the_longer_side_becomes_255_and_the_shorter_keeps_its_proportion():
    (line,) = simplify([[[-10.5, 9.5], [100, 140]]])
    assert line.tolist() == [[0, 128], [0, 255]]  # 20 / 40 of 255 = 127.5, half to even
    assert line.dtype == np.int64


def test_a_half_pixel_is_rounded_to_even_as_in_the_published_data():
    (line,) = simplify([[[0, 2], [0, 510]]])  # halved: 1, 255
    assert line.tolist() == [[0, 1], [0, 255]]
    (line,) = simplify([[[0, 1], [0, 510]]])  # 0.5
    assert line.tolist() == [[0, 0], [0, 255]]


@given(st.lists(strokes_of_tenths, min_size=1, max_size=4))
def test_any_drawing_stays_in_the_box_and_keeps_its_strokes_and_their_ends(strokes):
    points = np.concatenate(strokes, axis=1)
    lower = points.min(axis=1, keepdims=True)
    extent = (points - lower).max() or 1.0
    simplified = simplify(strokes)
    assert len(simplified) == len(strokes)
    for stroke, got in zip(strokes, simplified, strict=True):
        assert got.min() >= 0
        assert got.max() <= 255
        ends = (stroke[:, [0, -1]] - lower) / extent * 255
        np.testing.assert_allclose(got[:, [0, -1]], ends, atol=0.5 + 1e-6)


def test_dots_and_single_points_survive():
    dot, point, line = simplify([[[5, 5, 5], [7, 7, 7]], [[0], [0]], [[0, 10], [0, 10]]])
    assert dot.tolist() == [[128, 128], [178, 178]]
    assert point.tolist() == [[0], [0]]
    assert line.tolist() == [[0, 255], [0, 255]]
    assert simplify([[[3, 3], [9, 9]]])[0].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("extent", [1e-310, 1e300])
def test_extreme_coordinates_neither_overflow_nor_warn(extent):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        (line,) = simplify([[[0, extent], [0, 0]]])
    assert line.tolist() == [[0, 255], [0, 0]]


def test_a_long_scribble_needs_no_deep_recursion():
    # Each tooth is found from the one before it: as many nested parts as there are teeth.
    n = 3000
    teeth = np.stack([np.linspace(0, 60_000, n), 30.0 * (np.arange(n) % 2)])
    assert len(ramer_douglas_peucker(teeth, EPSILON)) == n


@given(strokes_of_tenths)
def test_resampled_points_lie_1_px_apart_along_the_stroke_and_end_where_it_ends(points):
    resampled = resample(points)
    np.testing.assert_allclose(resampled[:, [0, -1]], points[:, [0, -1]], atol=1e-9)
    steps = np.hypot(*np.diff(resampled))
    assert (steps <= 1 + 1e-6).all()  # less where the stroke turns within the pixel
    length = np.hypot(*np.diff(points)).sum()
    if length > 0:  # a whole number of pixels may come out a rounding error longer
        assert length - 1e-6 <= len(steps) < length + 1 + 1e-6


def test_resampling_a_straight_line_gives_every_pixel():
    assert resample(np.array([[0.0, 1.5, 3.25], [2, 2, 2]])).tolist() == [
        [0, 1, 2, 3, 3.25],
        [2, 2, 2, 2, 2],
    ]


@given(strokes_of_tenths)
def test_thinning_drops_only_points_that_the_line_passes_within_epsilon(points):
    kept = ramer_douglas_peucker(points, EPSILON)
    assert kept[0] == 0
    assert kept[-1] == points.shape[1] - 1
    assert (np.diff(kept) > 0).all()
    assert_follows(points, kept)


def test_thinning_measures_to_the_line_and_not_to_the_segment():
    # The pen overshoots its end by 50 px along the line: off the segment, on the line.
    assert ramer_douglas_peucker(np.array([[0.0, 150, 100], [0, 1, 0]]), 2.0).tolist() == [0, 2]
    # A point at exactly epsilon is dropped, one beyond it stays.
    assert ramer_douglas_peucker(np.array([[0.0, 5, 10], [0, 2, 0]]), 2.0).tolist() == [0, 2]
    assert ramer_douglas_peucker(np.array([[0.0, 5, 10], [0, 2.01, 0]]), 2.0).tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", ["square", "star", "zigzag"])
def test_a_shape_drawn_by_a_shaky_hand_keeps_its_corners_and_loses_the_rest(shape):
    corners = {
        "square": np.array([[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]),
        "star": np.array([[50, 128, 205, 0, 255, 50], [255, 0, 255, 90, 90, 255]]),
        "zigzag": np.array([[0, 50, 100, 150, 200, 255], [0, 100, 0, 100, 0, 100]]),
    }[shape]
    random = np.random.default_rng(7)
    raw = 3.7 * resample(corners.astype(float)) + [[40], [-90]]
    raw += random.uniform(-1, 1, raw.shape)  # 0.27 px once scaled back
    (got,) = simplify([raw])
    between = np.linalg.norm(corners[:, :, None] - got[:, None, :], axis=0)
    assert between.min(axis=1).max() <= 3  # each corner has a point near it
    assert got.shape[1] <= corners.shape[1] + 2


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([], "no points"),
        ([[[0, float("nan")], [0, 1]]], "NaN"),
        ([[[0, 1], [0]]], "stroke 1 "),
        ([[[0, 1] * 5000, [0, 1] * 5000]], "px long"),
    ],
)
def test_what_cannot_be_simplified_is_refused(strokes, message):
    with pytest.raises(UserError, match=message):
        simplify(strokes)


def test_real_drawings_are_thinned_within_epsilon_and_keep_their_ends(real_drawings):
    for strokes in real_drawings[:300]:
        points = np.concatenate(strokes, axis=1)
        lower = points.min(axis=1, keepdims=True)
        scale = 255 / (points - lower).max()  # the official thinning may drop the outermost point
        for stroke, got in zip(strokes, simplify(strokes), strict=True):
            original = (np.array(stroke) - lower) * scale
            np.testing.assert_allclose(got[:, [0, -1]], original[:, [0, -1]], atol=0.5 + 1e-9)
            resampled = resample(original)
            kept = ramer_douglas_peucker(resampled, EPSILON)
            assert_follows(resampled, kept)
            np.testing.assert_allclose(got, resampled[:, kept], atol=0.5 + 1e-9)
