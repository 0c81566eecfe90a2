"""The style of all plots: colours, font sizes, charts, and the PNG file.

Needs no display: pyplot is never used.
"""

import io
import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnray import whole_file
from rnnray.errors import UserError

DPI = 130
# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), readable with every common colour
# vision; all else is grey.
TEXT, MUTED, FAINT, PAPER = "#1f2328", "#656d76", "#c4cad1", "#f6f7f9"
BLUE, VERMILION, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#e69f00"
TITLE, BODY, SMALL = 11.0, 9.0, 8.0  # font sizes in points


def new(width: float, height: float) -> Figure:
    """Return an empty figure, `width` by `height` inches, with a layout without overlap."""
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)  # inches
    return figure


def chart(figure: Figure, cell: tuple[int, int, int], title: str, **labels: str) -> Axes:
    """Add axes with a title at the left and light grid lines, without a box.

    Args:
        figure: the figure.
        cell: rows, columns and the number of the cell, from 1.
        title: title of the chart.
        labels: `xlabel` and `ylabel`.
    """
    axes = figure.add_subplot(*cell)
    axes.set(**labels)
    axes.set_title(title, loc="left", fontsize=TITLE, color=TEXT, pad=9, parse_math=False)
    axes.tick_params(labelsize=BODY, colors=MUTED, length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=MUTED, fontsize=BODY)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return axes


def wrap(text: str, width: int, lines: int = 1) -> str:
    """Break a text into lines; an ellipsis replaces the rest.

    Characters that do not print become spaces: fonts have no glyphs for them, and halves of
    surrogate pairs cannot be encoded.

    Args:
        text: any text.
        width: the most characters of a line.
        lines: the most lines.
    """
    text = "".join(character if character.isprintable() else " " for character in text)
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder="…"))


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all; make its folder if needed.

    Raises:
        UserError: the file cannot be written.
    """
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DPI, facecolor="white")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(path, image.getbuffer())
    except OSError as error:
        reason = f"cannot write this plot ({error.strerror})"
        raise UserError(f"{path}: {reason}; choose a writable folder") from error
