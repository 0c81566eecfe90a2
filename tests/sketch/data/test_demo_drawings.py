import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnray.sketch.data import demo_drawings
from rnnray.sketch.data.ink import strokes_to_ink

# A number on either side of each seam between the blocks that drawings are made in.
COUNT = 3 * demo_drawings._BLOCK + 100
# A block of few drawings, with a few of each category, made in a seventh of the time.
SMALL_BLOCK = 256
SMALL_COUNT = 3 * SMALL_BLOCK + 100


def made(count, *, start=0):
    """Drawings of seed 5 that this process has not made before."""
    demo_drawings._make_block.cache_clear()
    return demo_drawings.inks(count, seed=5, start=start)


@pytest.fixture
def small_blocks(monkeypatch):
    """The first drawings of seed 5, as `drawings`, in small blocks."""
    monkeypatch.setattr(demo_drawings, "_BLOCK", SMALL_BLOCK)
    yield made(SMALL_COUNT)
    demo_drawings._make_block.cache_clear()


@pytest.fixture(scope="module")
def drawings():
    """The first drawings of seed 5: values, lengths, class indices."""
    return demo_drawings.inks(COUNT, seed=5)


@pytest.fixture(scope="module")
def inks(drawings):
    values, lengths, _ = drawings
    return np.split(values, np.cumsum(lengths)[:-1])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_part_made_elsewhere_or_again_is_that_part_of_the_whole(small_blocks, data):
    seam = SMALL_BLOCK * data.draw(st.integers(0, 3))
    start = max(seam + data.draw(st.integers(-40, 40)), 0)
    count = data.draw(st.integers(0, 60))
    count = min(count, SMALL_COUNT - start)
    values, lengths, class_indices = small_blocks
    ends = np.concatenate([[0], np.cumsum(lengths)])
    elsewhere, again = made(count, start=start), demo_drawings.inks(count, seed=5, start=start)
    for part in elsewhere, again:
        np.testing.assert_array_equal(part[0], values[ends[start] : ends[start + count]])
        np.testing.assert_array_equal(part[1], lengths[start : start + count])
        np.testing.assert_array_equal(part[2], class_indices[start : start + count])
        for array in part:
            array[:] = 0  # what a caller does with them changes nobody else's


def test_a_part_longer_than_a_block_is_that_part_of_the_whole(small_blocks):
    start = 100
    values, lengths, class_indices = made(SMALL_COUNT - start, start=start)
    np.testing.assert_array_equal(values, small_blocks[0][small_blocks[1][:start].sum() :])
    np.testing.assert_array_equal(lengths, small_blocks[1][start:])
    np.testing.assert_array_equal(class_indices, small_blocks[2][start:])


def test_the_arrays_have_the_promised_shapes_and_types(drawings):
    for count, (values, lengths, class_indices) in (
        (COUNT, drawings),
        (0, demo_drawings.inks(0, seed=5)),
    ):
        assert values.dtype == np.float32
        assert values.shape == (lengths.sum(), 3)
        assert lengths.dtype == class_indices.dtype == np.int64
        assert lengths.shape == class_indices.shape == (count,)


def test_every_drawing_is_ink_as_the_classifier_reads_it(drawings, inks):
    values, lengths, _ = drawings
    assert np.isfinite(values).all()
    assert np.abs(values[:, :2]).max() <= 1
    assert set(np.unique(values[:, 2])) == {0, 1}
    assert lengths.min() >= 1
    assert np.mean(lengths < 100) > 0.99
    for ink in inks:
        assert ink[-1, 2] == 1
        points = np.concatenate([[[0, 0]], np.cumsum(ink[:, :2], axis=0, dtype=np.float64)])
        np.testing.assert_allclose(np.ptp(points, axis=0), 1, atol=1e-5)


def random_drawings(seed):
    """Drawings of strokes [2, n] of integers: lines, loops, dots and scribbles."""
    rng = np.random.default_rng(seed)
    return [
        [
            np.rint(np.cumsum(rng.normal(0, rng.choice([0, 5, 40]), (2, rng.integers(2, 30))), 1))
            for _ in range(rng.integers(1, 6))
        ]
        for _ in range(rng.integers(1, 5))
    ]


@given(st.integers(0, 10**6))
def test_ink_made_many_at_a_time_is_the_ink_of_each_drawing(seed):
    sketches = random_drawings(seed)
    values, rows = demo_drawings._to_ink(
        np.concatenate([stroke.T for strokes in sketches for stroke in strokes]),
        np.repeat(np.arange(len(sketches)), [len(strokes) for strokes in sketches]),
        np.array([stroke.shape[1] for strokes in sketches for stroke in strokes]),
    )
    expected = [strokes_to_ink(strokes) for strokes in sketches]
    np.testing.assert_array_equal(values, np.concatenate(expected))
    np.testing.assert_array_equal(rows, [len(ink) for ink in expected])


def test_the_categories_are_some_that_quick_draw_has_too():
    assert list(demo_drawings.CLASS_NAMES) == sorted(set(demo_drawings.CLASS_NAMES))
    assert len(demo_drawings.CLASS_NAMES) >= 24
    names = "circle square triangle star zigzag stairs envelope hexagon octagon line squiggle"
    assert {*names.split(), "hurricane", "smiley face", "traffic light"} <= set(
        demo_drawings.CLASS_NAMES
    )


def test_every_category_is_spelt_as_in_the_real_data_set(sample):
    official = (sample / "training.tfrecord.classes").read_text().split("\n")
    assert set(demo_drawings.CLASS_NAMES) <= set(official)


def test_every_category_is_as_frequent_as_the_others(drawings):
    *_, class_indices = drawings
    counts = np.bincount(class_indices, minlength=len(demo_drawings.CLASS_NAMES))
    expected = len(class_indices) / len(demo_drawings.CLASS_NAMES)
    # Six standard deviations of a count.
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)


def test_another_seed_makes_other_drawings(inks):
    values, lengths, _ = demo_drawings.inks(500, seed=6)
    others = {ink.tobytes() for ink in np.split(values, np.cumsum(lengths)[:-1])}
    assert len(others & {ink.tobytes() for ink in inks[:500]}) == 0


def test_drawings_do_not_repeat_so_that_held_out_ones_are_new(inks):
    # More than a block, so that a block that came twice would show.
    assert len({ink.tobytes() for ink in inks[:4500]}) == 4500


def test_categories_have_the_points_and_strokes_that_tell_them_apart(drawings):
    values, lengths, class_indices = drawings
    strokes = np.add.reduceat(values[:, 2], np.cumsum(lengths) - lengths)

    def median(numbers, name):
        return np.median(numbers[class_indices == demo_drawings.CLASS_NAMES.index(name)])

    in_order = ["line", "triangle", "star", "clock", "hurricane"]
    points = [median(lengths, name) for name in in_order]
    assert points == sorted(set(points))
    in_order = ["circle", "donut", "traffic light", "ladder", "sun"]
    parts = [median(strokes, name) for name in in_order]
    assert parts == sorted(set(parts))
    square = strokes[class_indices == demo_drawings.CLASS_NAMES.index("square")]
    assert {1, 4} <= set(square)


def raster(inks, size=16):
    """Pictures [drawings, size ** 2] of the points along the strokes."""
    pictures = np.zeros((len(inks), size, size))
    for picture, ink in zip(pictures, inks, strict=True):
        points = np.concatenate([[[0, 0]], np.cumsum(ink[:, :2], axis=0)])
        points -= points.min(axis=0)
        pen_down = np.concatenate([[1], 1 - ink[:-1, 2]])[:, None, None]
        steps = np.linspace(0, 1, 12)[:, None] * pen_down
        along = (points[:-1, None] + steps * np.diff(points, axis=0)[:, None]).reshape(-1, 2)
        x, y = np.minimum(along * size, size - 1).astype(int).T
        picture[y, x] = 1
    pictures += 0.5 * sum(np.roll(pictures, shift, axis) for shift in (-1, 1) for axis in (1, 2))
    return pictures.reshape(len(inks), -1)


def test_drawings_can_be_told_apart_but_not_by_a_linear_model(drawings, inks):
    *_, class_indices = drawings
    train, test = slice(0, 4500), slice(4500, 6000)
    labels = class_indices[test]

    pictures = raster(inks[:6000])
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    nearest = np.argmax(pictures[test] @ pictures[train].T, axis=1)
    right = np.mean(class_indices[train][nearest] == labels)

    padded = np.zeros((6000, 64, 3))
    for row, ink in zip(padded, inks[:6000], strict=True):
        row[: len(ink)] = ink[:64]
    flat = np.concatenate([padded.reshape(6000, -1), np.ones((6000, 1))], axis=1)
    targets = np.eye(len(demo_drawings.CLASS_NAMES))[class_indices[train]]
    gram = flat[train].T @ flat[train] + np.eye(flat.shape[1])
    weights = np.linalg.solve(gram, flat[train].T @ targets)
    linear = np.mean(np.argmax(flat[test] @ weights, axis=1) == labels)

    assert right > 0.6, "drawings of a category do not look alike"
    assert linear < 0.7, "a model without memory would do"


@pytest.mark.parametrize("wrong", [{"count": -1}, {"start": -1}, {"seed": -1}])
def test_a_negative_number_is_refused_and_not_taken_from_the_end(wrong):
    with pytest.raises(ValueError, match="must not be negative"):
        demo_drawings.inks(**{"count": 1, "seed": 0, "start": 0} | wrong)
