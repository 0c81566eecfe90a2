"""What the model derives of ink is what the drawing has."""

import numpy as np
from lazily import Lazily

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.ink import ink_to_strokes, strokes_to_ink

ink_features = Lazily("rnnray.sketch.ink_features")

ALL = ("position", "direction", "strokes")


def padded(*inks: np.ndarray, points: int = 60) -> np.ndarray:
    rows = sketch_table.from_inks(inks, [0] * len(inks), ("a",))
    return sketch_table.padded(rows, points)[0]


def demo_inks(count: int) -> list[np.ndarray]:
    rows = sketch_table.from_arrays(*demo_drawings.inks(count, seed=3), demo_drawings.CLASS_NAMES)
    return sketch_table.inks_of(rows)


def test_a_small_drawing_by_hand() -> None:
    # Down, and then, with the pen up, to a stroke to the right: a box of 1 x 1.
    ink = strokes_to_ink([[[0, 0], [0, 2]], [[1, 4], [1, 1]]])
    columns = np.asarray(ink_features.InkFeatures(ALL)(padded(ink, points=20)))[0]
    np.testing.assert_array_equal(columns[:3, :3], ink)
    x, y, cosine, sine, length, up, number, done = columns[:3, 3:].T
    np.testing.assert_allclose(np.stack([x, y]), [[-1, -0.5, 1], [1, 0, 0]], atol=1e-6)
    diagonal = np.hypot(0.25, 0.5)
    np.testing.assert_allclose(length, [1, diagonal, 0.75], atol=1e-6)
    np.testing.assert_allclose(cosine, [0, 0.25 / diagonal, 1], atol=1e-6)
    np.testing.assert_allclose(sine, [1, -0.5 / diagonal, 0], atol=1e-6)
    assert up.tolist() == [0, 1, 0]
    np.testing.assert_allclose(number, [0, np.log(2), np.log(2)], atol=1e-6)
    np.testing.assert_allclose(done, [1 / 3, 2 / 3, 1], atol=1e-6)
    assert (columns[3:] == 0).all()


def test_positions_are_those_of_the_strokes_in_the_middle_of_a_box() -> None:
    inks = demo_inks(20)
    columns = np.asarray(ink_features.InkFeatures(("position",))(padded(*inks, points=250)))
    for ink, row in zip(inks, columns, strict=True):
        points = np.concatenate(ink_to_strokes(ink), axis=1)
        middle = (points.max(1) + points.min(1)) / 2
        expected = 2 * (points[:, 1:].T - middle)
        np.testing.assert_allclose(row[: len(ink), 3:], expected, atol=1e-5)


def test_each_feature_has_its_columns() -> None:
    ink = padded(*demo_inks(2))
    for name, columns in ink_features.FEATURES.items():
        layer = ink_features.InkFeatures((name,))
        assert np.asarray(layer(ink)).shape == (2, 60, 3 + columns)
        assert layer.from_config(layer.get_config()).features == (name,)
