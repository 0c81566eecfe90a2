"""Augmented drawings are drawings, each option does what it says, and a seed decides them."""

from typing import Any

import numpy as np
import pytest
from lazily import Lazily

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.ink import ink_to_strokes, strokes_to_ink

augmentation = Lazily("rnnray.sketch.augmentation")

POINTS = 120
EVERYTHING = {
    "rotation": 20.0,
    "scale": 0.2,
    "shear": 0.2,
    "mirror": 0.5,
    "drop_strokes": 0.2,
    "drop_points": 0.2,
    "jitter": 0.02,
    "reorder": 0.5,
}


def drawings(count: int) -> np.ndarray:
    rows = sketch_table.from_arrays(*demo_drawings.inks(count, seed=2), demo_drawings.CLASS_NAMES)
    return sketch_table.padded(rows, POINTS)[0]


def augmented(ink: np.ndarray, step: int = 0, epoch: int = 7, **options: float) -> np.ndarray:
    layer = augmentation.InkAugmentation(**options)
    layer.seed_generator.state.assign(np.array([epoch, step]))
    return np.asarray(layer(ink, training=True))


def strokes_of(ink: np.ndarray) -> list[np.ndarray]:
    """Without the padding, in a box that begins at (0, 0)."""
    length = np.flatnonzero(ink.any(axis=1)).max(initial=-1) + 1
    strokes = ink_to_strokes(ink[:length])
    low = np.concatenate(strokes, axis=1).min(axis=1, keepdims=True)
    return [stroke - low for stroke in strokes]


def sizes(ink: np.ndarray) -> list[int]:
    return [stroke.shape[1] for stroke in strokes_of(ink)]


def test_without_training_ink_stays_as_it_is() -> None:
    ink = drawings(5)
    layer = augmentation.InkAugmentation(**EVERYTHING)
    np.testing.assert_array_equal(layer(ink), ink)
    np.testing.assert_array_equal(layer(ink, training=False), ink)


def test_without_options_ink_stays_as_it_is() -> None:
    ink = drawings(50)
    np.testing.assert_allclose(augmented(ink), ink, atol=1e-6)


def test_what_comes_out_is_ink() -> None:
    ink = augmented(drawings(300), **EVERYTHING)
    lengths = [np.flatnonzero(row.any(axis=1)).max(initial=-1) + 1 for row in ink]
    table = sketch_table.from_inks(
        [row[:length] for row, length in zip(ink, lengths, strict=True)], [0] * 300, ("a",)
    )
    assert sketch_table.bad_rows(table, 1, labelled=True) == []
    for row, length in zip(ink, lengths, strict=True):
        assert row[length - 1, 2] == 1
        extent = np.ptp(np.concatenate(strokes_of(row), axis=1), axis=1)
        np.testing.assert_allclose(extent, 1, atol=1e-5)


def test_a_drawing_s_changes_depend_on_itself_and_not_on_its_batch() -> None:
    ink = drawings(40)
    whole = augmented(ink, **EVERYTHING)
    part = augmented(ink[11:24], **EVERYTHING)
    # What is drawn is the same; sines and exponentials of vectors differ in their last bits.
    np.testing.assert_array_equal(part[..., 2], whole[11:24, :, 2])
    np.testing.assert_allclose(part, whole[11:24], atol=1e-6)
    np.testing.assert_array_equal(augmented(ink[::-1], **EVERYTHING), whole[::-1])


def test_each_step_and_epoch_changes_a_drawing_otherwise() -> None:
    ink = drawings(20)
    one = augmented(ink, **EVERYTHING)
    for other in (augmented(ink, step=1, **EVERYTHING), augmented(ink, epoch=8, **EVERYTHING)):
        assert (np.abs(other - one).max(axis=(1, 2)) > 1e-3).all()
    layer = augmentation.InkAugmentation(**EVERYTHING)
    layer.seed_generator.state.assign(np.array([7, 0]))
    first, second = (np.asarray(layer(ink, training=True)) for _ in range(2))
    np.testing.assert_array_equal(first, one)
    np.testing.assert_array_equal(second, augmented(ink, step=1, **EVERYTHING))


def test_mirrored_drawings_are_mirrored_left_to_right() -> None:
    ink = drawings(400)
    out = augmented(ink, mirror=0.25)
    same = np.abs(out - ink).max(axis=(1, 2)) < 1e-5
    mirrored = np.abs(out - ink * [-1, 1, 1]).max(axis=(1, 2)) < 1e-5
    assert (same | mirrored).all()
    assert 0.15 < mirrored.mean() < 0.35


def test_a_turned_corner_shows_the_angles_that_were_asked_for() -> None:
    corner = strokes_to_ink([[[0, 100, 100], [0, 0, 100]]])  # across, then down
    ink = np.zeros((300, POINTS, 3), np.float32)
    ink[:, :2] = corner
    ink[:, 0, 0] += np.linspace(0, 0.02, 300)  # or all were one drawing, and turned alike
    down = augmented(ink, rotation=30.0)[:, 0, 1]
    # Back from a box of 1 x 1, whose height was cos + sin for angles over 0, and cos below.
    angles = np.degrees(np.arctan(np.where(down > 0, down / (1 - down), down)))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -28
    assert angles.max() > 28


@pytest.mark.parametrize(("option", "value"), [("shear", 0.3), ("rotation", 20.0)])
def test_strokes_and_points_stay_as_many(option: str, value: float) -> None:
    ink = drawings(50)
    out = augmented(ink, scale=0.3, **{option: value})
    np.testing.assert_array_equal(out[..., 2], ink[..., 2])
    assert (np.abs(out - ink).max(axis=(1, 2)) > 1e-3).mean() > 0.9


def test_strokes_are_dropped_as_often_as_asked_and_one_stays() -> None:
    ink = drawings(600)
    before, after = ink[..., 2].sum(1), augmented(ink, drop_strokes=0.3)[..., 2].sum(1)
    many = before >= 3
    assert 0.6 < after[many].sum() / before[many].sum() < 0.8
    assert after.min() == 1
    np.testing.assert_array_equal(after[before == 1], 1)


def test_points_are_dropped_within_strokes() -> None:
    ink = drawings(200)
    out = augmented(ink, drop_points=0.4)
    lost, inner = 0, 0
    for left, right in zip(ink, out, strict=True):
        before, after = strokes_of(left), strokes_of(right)
        assert len(before) == len(after)
        lost += sum(sizes(left)) - sum(sizes(right))
        inner += sum(size - 2 for size in sizes(left))
        assert all(
            two.shape[1] >= min(one.shape[1], 2) for one, two in zip(before, after, strict=True)
        )
    assert 0.3 < lost / inner < 0.5


def test_strokes_in_another_order_are_the_same_strokes() -> None:
    ink = drawings(300)
    moved = 0
    for left, right in zip(ink, augmented(ink, reorder=1.0), strict=True):

        def key(stroke: np.ndarray) -> Any:
            return stroke.shape[1], *stroke.round(2).ravel().tolist()

        before, after = strokes_of(left), strokes_of(right)
        moved += sizes(left) != sizes(right)
        for one, two in zip(sorted(before, key=key), sorted(after, key=key), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-4)
    assert moved > 100


def test_jitter_moves_points_by_its_share_of_the_box() -> None:
    ink = drawings(100)
    steps = augmented(ink, jitter=0.01)[..., :2] - ink[..., :2]
    assert 0.005 < np.abs(steps).max() <= 0.05
    np.testing.assert_array_equal(augmented(ink, jitter=0.01)[..., 2], ink[..., 2])


def test_its_configuration_comes_back() -> None:
    layer = augmentation.InkAugmentation(**EVERYTHING)
    assert layer.from_config(layer.get_config()).options == EVERYTHING
