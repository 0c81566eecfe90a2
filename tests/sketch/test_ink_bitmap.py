"""The bitmap that the model draws is the drawing, with soft lines."""

from itertools import pairwise

import numpy as np
import pytest
from lazily import Lazily

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.ink import ink_to_strokes, strokes_to_ink

ink_bitmap = Lazily("rnnray.sketch.ink_bitmap")

SIZE = 32


def padded(*inks: np.ndarray, points: int = 100) -> np.ndarray:
    rows = sketch_table.from_inks(inks, [0] * len(inks), ("a",))
    return sketch_table.padded(rows, points)[0]


def drawn(*inks: np.ndarray, size: int = SIZE, **options: int) -> np.ndarray:
    return np.asarray(ink_bitmap.InkBitmap(size, **options)(padded(*inks)))


def demo_inks(count: int) -> list[np.ndarray]:
    rows = sketch_table.from_arrays(*demo_drawings.inks(count, seed=3), demo_drawings.CLASS_NAMES)
    return [ink for ink in sketch_table.inks_of(rows) if len(ink) <= 100]


def distances(ink: np.ndarray, size: int) -> np.ndarray:
    """Of each pixel to the nearest segment of the drawing, in pixels: [height, width]."""
    strokes = ink_to_strokes(ink)
    points = np.concatenate(strokes, axis=1)
    low, high = points.min(1, keepdims=True), points.max(1, keepdims=True)
    scale = (size - 5) / (high - low).max()
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    nearest = np.full((size, size), np.inf)
    for stroke in strokes:
        at = ((stroke - (low + high) / 2) * scale + (size - 1) / 2).T
        for one, two in pairwise(at):
            way = two - one
            share = ((pixels - one) @ way) / max(way @ way, 1e-12)
            foot = one + np.clip(share, 0, 1)[..., None] * way
            nearest = np.minimum(nearest, np.linalg.norm(pixels - foot, axis=-1))
    return nearest


@pytest.mark.parametrize("size", [28, 48])
def test_pixels_are_dark_on_the_lines_and_nowhere_else(size: int) -> None:
    for ink in demo_inks(20):
        dark = drawn(ink, size=size)[0, :, :, 0]
        off = distances(ink, size)
        assert dark[off < 0.3].min() > 0.3  # 0.45 at the end of a line, 0.75 within
        assert np.median(dark[off < 0.3]) > 0.6
        assert dark[off > 3].max(initial=0) < 0.02
        assert dark.max() <= 1


def test_a_dot_can_be_seen_and_the_way_to_it_through_the_air_cannot() -> None:
    line, dot = [[0, 100], [0, 0]], [[50, 50], [100, 100]]
    bitmap = drawn(strokes_to_ink([line, dot]))[0, :, :, 0]
    assert bitmap[29, 15:17].min() > 0.3
    assert bitmap[6:26].max() < 1e-3


def test_the_other_channels_say_angle_and_time() -> None:
    across, down = [[0, 100], [0, 0]], [[0, 0], [100, 0]]
    bitmap = drawn(strokes_to_ink([across, down]))[0]
    dark, cosine, sine, when = bitmap[2, 16]  # of the line across
    assert dark > 0.7
    assert cosine == pytest.approx(dark, abs=0.05)
    assert sine == pytest.approx(0, abs=0.05)
    assert when < 0
    _, cosine, sine, when = bitmap[16, 2]  # of the line up, whichever end it began at
    assert cosine == pytest.approx(-dark, abs=0.05)
    assert sine == pytest.approx(0, abs=0.05)
    assert when > 0


def test_a_drawing_alone_gives_what_it_gives_among_others_and_with_more_padding() -> None:
    inks = demo_inks(9)
    together = drawn(*inks)
    layer = ink_bitmap.InkBitmap(SIZE)
    for ink, bitmap in zip(inks, together, strict=True):
        alone = np.asarray(layer(padded(ink, points=180)))[0]
        np.testing.assert_allclose(alone, bitmap, atol=1e-4)


def test_long_drawings_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    inks = demo_inks(4)
    whole = drawn(*inks)
    monkeypatch.setattr("rnnray.sketch.ink_bitmap._FEW_PAIRS", 700)
    np.testing.assert_array_equal(drawn(*inks), whole)


def test_nothing_drawn_is_a_white_bitmap() -> None:
    bitmap = np.asarray(ink_bitmap.InkBitmap(SIZE)(np.zeros((1, 50, 3), np.float32)))
    np.testing.assert_array_equal(bitmap, 0)
