"""Plots of drawings, and of what a classifier takes them for.

Each public function writes one PNG to `path`, whole or not at all, and makes its folder if needed.
It raises `UserError` if the file cannot be written. No display is needed: pyplot is never used.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.plot_style import BLUE, BODY, MUTED, PAPER, SMALL, TEXT, TITLE, VERMILION, wrap
from rnnray.sketch.data.ink import ink_to_strokes

Inks = Sequence[NDArray[np.float32]]
Corners = list[tuple[float, float]]
# Inches: a drawing, the two lines of text below it, the top 5 beside it, the space in between.
CELL, LABEL, PANEL, GAP = 1.3, 0.38, 2.0, 0.16


def sketch_grid(path: Path, inks: Inks, labels: Sequence[str], title: str | None = None) -> None:
    """Draw a grid of sketches with their labels: strokes solid, pen-up moves dotted.

    Args:
        path: path of the PNG.
        inks: one or more drawings, each float32 [n, 3] of rows (dx, dy, end_of_stroke).
        labels: label of each drawing, of which two lines are shown.
        title: title of the plot.

    Raises:
        ValueError: there is no drawing, or not a label for each.
    """
    columns = min(16, max(4, math.ceil(math.sqrt(1.5 * len(inks)))))
    figure, corners = _tiles(len(inks), columns, CELL, title)
    for (left, top), ink, label in zip(corners, inks, labels, strict=True):
        _draw_ink(_axes_at(figure, left, top, CELL), ink, label)
    plot_style.save(figure, path)


def predictions(
    path: Path,
    inks: Inks,
    true_labels: Sequence[str | None],
    class_names_top5: Sequence[Sequence[str]],
    probabilities_top5: NDArray[np.floating],
    *,
    title: str | None = None,
) -> None:
    """Draw sketches beside their most probable classes.

    The true class has a blue bar. The label below a drawing has a tick if the most probable class
    is the true one, else a cross. About 20 drawings fit on a screen.

    Args:
        path: path of the PNG.
        inks: one or more drawings, each float32 [n, 3].
        true_labels: true label of each drawing, or None.
        class_names_top5: class names of each drawing, the most probable first.
        probabilities_top5: float [drawings, 5], from 0 to 1; fewer columns if there are fewer
            classes.
        title: title of the plot.

    Raises:
        ValueError: there is no drawing, or the arguments' lengths differ.
    """
    figure, corners = _tiles(len(inks), 4, CELL + PANEL + GAP, title)
    rows = zip(corners, inks, true_labels, class_names_top5, probabilities_top5, strict=True)
    for (left, top), ink, truth, names, probabilities in rows:
        right = truth == names[0]
        label = "" if truth is None else f"{'✓' if right else '✗'} {truth}"
        _draw_ink(_axes_at(figure, left, top, CELL), ink, label, BLUE if right else VERMILION)
        axes = _axes_at(figure, left + CELL + 0.6 * GAP, top, PANEL)
        axes.set(xlim=(0, 1), ylim=(5, 0), facecolor="white")  # room for five, even if fewer
        for rank, (name, probability) in enumerate(zip(names, probabilities, strict=True)):
            axes.barh(rank + 0.8, 1, 0.12, color=PAPER)
            axes.barh(rank + 0.8, probability, 0.12, color=BLUE if name == truth else MUTED)
            color = TEXT if rank == 0 or name == truth else MUTED
            texts = (0, "left", wrap(name, 26)), (1, "right", f"{probability:.1%}")
            for x, side, text in texts:
                axes.text(x, rank + 0.6, text, ha=side, color=color, size=SMALL, parse_math=False)
    plot_style.save(figure, path)


def length_histogram(path: Path, lengths: NDArray[np.integer], max_points: int) -> None:
    """Draw the histogram of the drawings' lengths, with the median and the share that is cropped.

    The last bar holds all lengths beyond the axis.

    Args:
        path: path of the PNG.
        lengths: int [n], the points of each drawing before cropping.
        max_points: points that a drawing is cropped to.

    Raises:
        ValueError: n is 0.
    """
    if len(lengths) == 0:
        raise ValueError("no lengths: a histogram needs at least one drawing")
    # The longest 0.5 % would stretch the axis many times over.
    end = max(1.25 * max_points, float(np.percentile(lengths, 99.5)))
    width = max(1, round(end / 80))
    # A bin ends exactly at the crop, so that each bar is wholly kept or wholly cropped.
    below, above = math.ceil(max_points / width), math.ceil((end - max_points) / width)
    edges = max_points + 0.5 + width * np.arange(-below, above + 1)
    heights, _ = np.histogram(np.clip(lengths, edges[0], edges[-1]), edges)
    cropped, median = float(np.mean(lengths > max_points)), float(np.median(lengths))
    figure = plot_style.new(8, 4)
    title = f"Points in a drawing (n = {len(lengths):,})"
    beyond = " (the last bar holds all that are longer)" if lengths.max() > edges[-1] else ""
    axes = plot_style.chart(figure, (1, 1, 1), title, xlabel="points" + beyond, ylabel="drawings")
    colors = [VERMILION if left > max_points else BLUE for left in edges[:-1]]
    axes.bar(edges[:-1], heights, width, align="edge", color=colors, edgecolor="white", lw=0.4)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.28 * heights.max()))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    crop = f" crop at {max_points}: {cropped:.1%} are longer "
    notes = (max_points + 0.5, 0.94, VERMILION, crop), (median, 0.86, TEXT, f" median {median:g} ")
    for x, y, color, note in notes:
        axes.axvline(x, ymax=y - 0.025, color=color, linestyle="--", lw=1)
        text = axes.text(x, y, note, color=color, size=BODY, va="center")
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        text.set(transform=axes.get_xaxis_transform(), ha="right" if 2 * x > edges[-1] else "left")
    plot_style.save(figure, path)


def _draw_ink(axes: Axes, ink: NDArray[np.float32], label: str, color: str = TEXT) -> None:
    """Draw ink in a square (normalising removed its aspect ratio), y down as on a screen."""
    strokes = [stroke.T for stroke in ink_to_strokes(ink)]
    moves = [np.stack([before[-1], after[0]]) for before, after in pairwise(strokes)]
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, 0.56 * (float((high - low).max()) or 1.0)
    axes.add_collection(LineCollection(moves, colors=MUTED, linewidths=0.8, linestyles=":"))
    axes.add_collection(LineCollection(strokes, colors=TEXT, linewidths=1.4, capstyle="round"))
    for stroke in strokes:
        if not np.ptp(stroke, axis=0).any():  # a line of length 0 leaves no mark
            axes.plot(*stroke[0], "o", color=TEXT, markersize=2.2)
    axes.set(xlim=middle[0] + (-half, half), ylim=middle[1] + (half, -half), aspect="equal")
    axes.set_xlabel(wrap(label, 21, 2), size=SMALL, color=color, labelpad=3, parse_math=False)


def _tiles(count: int, columns: int, width: float, title: str | None) -> tuple[Figure, Corners]:
    """Return a figure of tiles `width` wide, and each tile's left and top in inches."""
    if count == 0:
        raise ValueError("no drawings: a plot needs at least one")
    columns = min(columns, count)
    width, height = width + GAP, CELL + LABEL
    across = max(GAP + columns * width, 3.6)  # room for a title, even above a single drawing
    heading = wrap(title or "", int(10 * across), 3)  # characters are a tenth of an inch wide
    top = GAP + (0.22 * (heading.count("\n") + 1) if heading else 0)
    down = top + math.ceil(count / columns) * height
    figure = Figure(figsize=(across, down))
    x, y = GAP / across, 1 - 0.6 * GAP / down
    figure.text(x, y, heading, va="top", color=TEXT, size=TITLE, parse_math=False)
    return figure, [(GAP + i % columns * width, top + i // columns * height) for i in range(count)]


def _axes_at(figure: Figure, left: float, top: float, width: float) -> Axes:
    """Return axes without ticks or spines, `CELL` inches high."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + CELL) / down, width / across, CELL / down))
    axes.set(xticks=[], yticks=[], facecolor=PAPER)
    axes.spines[:].set_visible(False)
    return axes
