"""Pictures are read back as pixels, or looked into before they are saved."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from test_plot_style import assert_all_text_inside, pixels

from rnnray import plot_style
from rnnray.sketch import sketch_plots
from rnnray.sketch.data.ink import strokes_to_ink

SQUARE = strokes_to_ink([[[0, 0, 9, 9, 0], [0, 9, 9, 0, 0]]])
TWO_STROKES = strokes_to_ink([[[0, 9], [0, 0]], [[0, 9], [9, 9]]])
STROKE_AND_DOT = strokes_to_ink([[[0, 9], [0, 0]], [[4], [9]]])
LONG_NAME = "The Great Wall of China"


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


# --- files ---


def test_every_picture_is_a_png_in_a_folder_that_it_makes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pictures"
    names = ["cat", "dog", "owl"]
    sketch_plots.sketch_grid(folder / "grid.png", [SQUARE, TWO_STROKES], names[:2], "Some drawings")
    sketch_plots.length_histogram(folder / "lengths.png", np.array([5, 50, 120, 800]), 100)
    sketch_plots.predictions(
        folder / "predictions.png", [SQUARE], ["cat"], [names], np.array([[0.7, 0.2, 0.1]])
    )
    assert len(list(folder.iterdir())) == 3
    for path in folder.iterdir():
        pixels(path)


def test_pictures_need_no_display_and_leave_pyplot_alone(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, sys
        import numpy as np
        from rnnray.sketch import sketch_plots as pictures
        pictures.sketch_grid(pathlib.Path(sys.argv[1]), [np.ones((2, 3), np.float32)], ["line"])
        assert "matplotlib.pyplot" not in sys.modules
    """
    path = tmp_path / "grid.png"
    environment = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
    environment |= {"MPLBACKEND": "tkagg", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, path], env=environment, check=True)
    pixels(path)


def test_drawing_that_fails_keeps_the_former_picture_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.write_bytes(b"the former picture")
    with pytest.raises(ValueError, match="NaN"):
        sketch_plots.sketch_grid(path, [np.full((3, 3), np.nan, np.float32)], ["broken"])
    assert path.read_bytes() == b"the former picture"
    assert list(tmp_path.iterdir()) == [path]


# --- sketches ---


def test_different_ink_gives_different_pixels_and_the_same_ink_the_same(tmp_path: Path) -> None:
    images = []
    for i, ink in enumerate([SQUARE, TWO_STROKES, SQUARE]):
        sketch_plots.sketch_grid(tmp_path / f"{i}.png", [ink], ["?"])
        images.append(pixels(tmp_path / f"{i}.png"))
    assert not np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2])


def test_strokes_are_solid_and_the_move_between_them_dotted_and_lighter(
    drawn: list[Figure],
) -> None:
    sketch_plots.sketch_grid(Path("unused"), [TWO_STROKES], ["two lines"])
    (axes,) = drawn[0].axes
    moves, strokes = (c for c in axes.collections if isinstance(c, LineCollection))
    assert [segment.tolist() for segment in strokes.get_segments()] == [
        [[0, 0], [1, 0]],
        [[0, 1], [1, 1]],
    ]
    assert [segment.tolist() for segment in moves.get_segments()] == [[[1, 0], [0, 1]]]
    assert strokes.get_linestyles()[0][1] is None
    assert moves.get_linestyles()[0][1] is not None
    assert moves.get_colors()[0][:3].sum() > strokes.get_colors()[0][:3].sum()
    assert moves.get_linewidths()[0] < strokes.get_linewidths()[0]


def test_a_drawing_stands_upright_in_a_square(drawn: list[Figure]) -> None:
    sketch_plots.sketch_grid(Path("unused"), [strokes_to_ink([[[0, 200], [0, 10]]])], ["flat line"])
    (axes,) = drawn[0].axes
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert bottom > top, "y points down"
    assert right - left == pytest.approx(bottom - top)
    assert axes.get_aspect() == 1
    width, height = axes.get_window_extent().size
    assert width == pytest.approx(height)


def test_a_stroke_of_one_point_is_seen_as_a_dot(drawn: list[Figure]) -> None:
    sketch_plots.sketch_grid(Path("unused"), [STROKE_AND_DOT, SQUARE], ["with a dot", "without"])
    with_dot, without = drawn[0].axes
    assert [line.get_xydata().round(3).tolist() for line in with_dot.lines] == [[[0.444, 1.0]]]
    assert len(without.lines) == 0


@pytest.mark.parametrize("count", [1, 3, 40])
def test_grid_shows_every_drawing_once_without_overlap(drawn: list[Figure], count: int) -> None:
    labels = [f"{LONG_NAME} {i}" for i in range(count)]
    sketch_plots.sketch_grid(Path("unused"), [SQUARE] * count, labels, "A title " * 10)
    figure = drawn[0]
    assert [a.get_xlabel().replace("\n", " ") for a in figure.axes] == labels
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer).extents for axes in figure.axes]
    boxes.append(figure.texts[0].get_window_extent(renderer).extents)
    low, high = np.array(boxes)[:, :2], np.array(boxes)[:, 2:]
    overlap = (low[:, None] < high[None]).all(-1) & (low[None] < high[:, None]).all(-1)
    assert overlap.sum() == count + 1, "a picture overlaps only with itself"
    assert (low >= 0).all()
    assert (high <= figure.bbox.size).all()


@settings(max_examples=15, deadline=None)
@given(
    ink=npst.arrays(
        np.float32,
        st.tuples(st.integers(0, 6), st.just(3)),
        elements=st.sampled_from([-1.0, -0.25, 0.0, 0.5, 1.0]),
    )
)
def test_any_finite_ink_can_be_drawn(
    ink: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("grid") / "grid.png"
    sketch_plots.sketch_grid(path, [ink], ["any"])
    pixels(path)


def test_no_drawings_or_a_missing_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no drawings"):
        sketch_plots.sketch_grid(tmp_path / "grid.png", [], [])
    with pytest.raises(ValueError, match="shorter"):
        sketch_plots.sketch_grid(tmp_path / "grid.png", [SQUARE, SQUARE], ["one"])
    assert list(tmp_path.iterdir()) == []


# --- predictions ---


def test_predictions_show_names_percentages_and_whether_they_are_right(
    drawn: list[Figure],
) -> None:
    top5 = [
        ["cat", "dog", "owl", "animal migration", LONG_NAME],
        ["dog", "cat", "owl", "animal migration", LONG_NAME],
        ["dog", "cat", "owl", "animal migration", LONG_NAME],
    ]
    probabilities = np.array([[0.5, 0.3, 0.1, 0.06, 0.04]] * 3, np.float32)
    sketch_plots.predictions(
        Path("unused"), [SQUARE] * 3, ["cat", "cat", None], top5, probabilities
    )
    sketches, bars = drawn[0].axes[::2], drawn[0].axes[1::2]
    assert [axes.get_xlabel() for axes in sketches] == ["✓ cat", "✗ cat", ""]
    assert texts(bars[0])[::2] == top5[0]
    assert texts(bars[0])[1::2] == ["50.0%", "30.0%", "10.0%", "6.0%", "4.0%"]
    for panel, true_rank in zip(bars, [0, 1, None], strict=True):
        shown = panel.patches[1::2]  # every other one is the track behind it
        assert [bar.get_width() for bar in shown] == pytest.approx(probabilities[0].tolist())
        colors = [bar.get_facecolor() for bar in shown]
        others = {color for rank, color in enumerate(colors) if rank != true_rank}
        assert len(others) == 1
        assert true_rank is None or colors[true_rank] not in others


def test_longest_class_name_does_not_run_into_its_percentage(drawn: list[Figure]) -> None:
    names = [LONG_NAME, "animal migration", "W" * 60, "power outlet", "cat"]
    sketch_plots.predictions(Path("unused"), [SQUARE], [None], [names], np.ones((1, 5)))
    panel = drawn[0].axes[1]
    renderer = drawn[0].canvas.get_renderer()
    name, percentage = (text.get_window_extent(renderer) for text in panel.texts[:2])
    assert name.x1 < percentage.x0
    assert texts(panel)[4].endswith("…")


@pytest.mark.parametrize("classes", [1, 3])
def test_predictions_of_fewer_than_five_classes(tmp_path: Path, classes: int) -> None:
    names = ["cat", "dog", "owl"][:classes]
    path = tmp_path / "predictions.png"
    sketch_plots.predictions(path, [SQUARE] * 2, ["cat", None], [names] * 2, np.ones((2, classes)))
    pixels(path)


def test_predictions_that_do_not_match_the_drawings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"longer|shorter"):
        sketch_plots.predictions(
            tmp_path / "p.png", [SQUARE], ["cat"], [["cat", "dog"]], np.ones((2, 2))
        )
    with pytest.raises(ValueError, match=r"longer|shorter"):
        sketch_plots.predictions(tmp_path / "p.png", [SQUARE], ["cat"], [["cat"]], np.ones((1, 2)))


# --- lengths ---


@settings(max_examples=15, deadline=None)
@given(
    lengths=npst.arrays(np.int64, st.integers(1, 50), elements=st.integers(1, 5000)),
    max_points=st.integers(1, 300),
)
def test_histogram_counts_every_drawing_and_splits_exactly_at_the_crop(
    lengths: np.ndarray, max_points: int
) -> None:
    histograms: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot_style, "save", lambda figure, _: histograms.append(figure))
        sketch_plots.length_histogram(Path("unused"), lengths, max_points)
    (axes,) = histograms[0].axes
    kept = [bar for bar in axes.patches if bar.get_x() < max_points]
    cropped = [bar for bar in axes.patches if bar.get_x() > max_points]
    assert sum(bar.get_height() for bar in kept) == (lengths <= max_points).sum()
    assert sum(bar.get_height() for bar in cropped) == (lengths > max_points).sum()
    assert len({bar.get_facecolor() for bar in kept}) == 1
    assert {bar.get_facecolor() for bar in kept}.isdisjoint(b.get_facecolor() for b in cropped)


def test_histogram_says_median_and_share_that_is_cropped(drawn: list[Figure]) -> None:
    sketch_plots.length_histogram(Path("unused"), np.array([10, 20, 40, 101, 100, 9, 8, 9999]), 100)
    (axes,) = drawn[0].axes
    assert [text.strip() for text in texts(axes)] == [
        "crop at 100: 25.0% are longer",
        "median 30",
    ]
    crop, median = axes.lines
    assert crop.get_xdata()[0] == 100.5
    assert median.get_xdata()[0] == 30


@pytest.mark.parametrize("lengths", [[7], [5, 9, 30], [100], [101], [90] * 20, [4000, 5000]])
def test_histogram_text_stays_inside_the_picture(drawn: list[Figure], lengths: list[int]) -> None:
    sketch_plots.length_histogram(Path("unused"), np.array(lengths), 100)
    assert_all_text_inside(drawn[0])


def test_histogram_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no lengths"):
        sketch_plots.length_histogram(tmp_path / "h.png", np.array([], np.int64), 100)
