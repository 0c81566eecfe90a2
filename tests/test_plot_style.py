"""Pictures are read back as pixels, or looked into before they are saved."""

from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from observed import refused

from rnnray import plot_style

PALETTE = plot_style.BLUE, plot_style.VERMILION, plot_style.GREEN, plot_style.ORANGE


def keep_figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The list to which figures go, laid out, instead of into files."""
    kept: list[Figure] = []

    def keep(figure: Figure, _: Path) -> None:
        figure.set_dpi(plot_style.DPI)
        FigureCanvasAgg(figure).draw()
        kept.append(figure)

    monkeypatch.setattr(plot_style, "save", keep)
    return kept


def pixels(path: Path) -> np.ndarray:
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    image = matplotlib.image.imread(path)
    height, width, _ = image.shape
    assert 200 <= height <= 6000
    assert 200 <= width <= 6000
    assert image[..., :3].std() > 0.01, "the picture is blank"
    return image


def assert_all_text_inside(figure: Figure) -> None:
    box = figure.get_tightbbox().extents * figure.dpi
    assert box[0] >= 0
    assert box[1] >= 0
    assert (box[2:] <= figure.bbox.size).all()


def line() -> Figure:
    figure = plot_style.new(3, 2)
    plot_style.chart(figure, (1, 1, 1), "A line", xlabel="x", ylabel="y").plot([0, 1], [0, 1])
    return figure


def test_a_figure_is_a_png_of_the_asked_size_in_a_folder_that_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "line.png"
    plot_style.save(line(), path)
    assert pixels(path).shape[:2] == (2 * plot_style.DPI, 3 * plot_style.DPI)
    assert list(path.parent.iterdir()) == [path]


def test_path_through_a_file_is_a_user_error_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "line.png"
    assert refused(plot_style.save, line(), path).startswith(f"{path}: cannot write this plot (")


@pytest.mark.parametrize("lines", [1, 2])
def test_long_text_is_cut_where_it_would_not_fit(lines: int) -> None:
    cut = plot_style.wrap("The Great Wall of China and a few more words", 14, lines).split("\n")
    assert len(cut) == lines
    assert cut[-1].endswith("…")
    assert all(len(part) <= 14 for part in cut)
    assert plot_style.wrap("short", 14, lines) == "short"


# What people without one kind of cone see, in linear RGB: Viénot, Brettel and Mollon, "Digital
# video colourmaps for checking the legibility of displays by dichromats" (1999).
@pytest.mark.parametrize(
    "seen_by",
    [
        np.eye(3),
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    ],
    ids=["all cones", "no red cones", "no green cones"],
)
def test_colours_are_told_apart_with_every_common_colour_vision(seen_by: object) -> None:
    rgb = np.array([matplotlib.colors.to_rgb(color) for color in PALETTE])
    seen = np.clip(rgb**2.2 @ np.asarray(seen_by).T, 0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 0.2
