"""The plot of a classifier's mistakes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.plot_style import FAINT, MUTED, SMALL, TEXT, wrap


def confusion_matrix(
    path: Path,
    counts: NDArray[np.integer],
    class_names: Sequence[str],
    worst: int = 20,
    unit: str = "drawings",
) -> None:
    """Draw the confusion matrix of the `worst` classes, those most often confused.

    With more classes than `worst`, pairs of classes are taken in order of their confusions
    (counts[i, j] + counts[j, i]). Both join the plot while there is room, so that partners stand
    side by side. A cell is the share of *all* drawings of its true class, also of those predicted
    as a class that is not shown: rows need not add up to 100 %. A class without drawings has a grey
    row.

    Args:
        path: path of the PNG.
        counts: int [C, C]; rows are true classes, columns predicted ones.
        class_names: C names.
        worst: the most classes that are shown.
        unit: name of what is counted.

    Raises:
        UserError: the file cannot be written.
        ValueError: `counts` is not [C, C] for C > 0 names, or `worst` is less than 2.
    """
    classes = len(class_names)
    if classes == 0 or counts.shape != (classes, classes) or worst < 2:
        raise ValueError(f"counts {counts.shape}, {classes} names, worst={worst}: no such matrix")
    shown = list(range(classes)) if classes <= worst else _most_confused(counts, worst)
    drawings = counts.sum(axis=1, keepdims=True)
    share = np.where(drawings > 0, 100.0 * counts / np.maximum(drawings, 1), np.nan)
    share = share[np.ix_(shown, shown)]
    names = [wrap(class_names[i], 26) for i in shown]
    cell = min(max(0.42, 2.5 / len(shown)), 24 / len(shown))  # inches
    font = min(SMALL, 60 * cell)
    side = cell * len(shown) + 0.4 + max(map(len, names)) * font / 110
    figure = plot_style.new(side + 1, side + 0.4)
    title = f"The {worst} classes most often confused" if classes > worst else "Confusions"
    axes = plot_style.chart(figure, (1, 1, 1), title, xlabel="predicted", ylabel="true")
    axes.grid(visible=False)
    axes.set_facecolor(FAINT)
    # The square root shows confusions of a few per cent beside a diagonal near 100 %.
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=font, parse_math=False)
    axes.set_yticks(range(len(shown)), names, fontsize=font, parse_math=False)
    # This layout makes the colour bar as high as the square matrix.
    figure.set_layout_engine("compressed", w_pad=0.1, h_pad=0.1)
    bar = figure.colorbar(image, ax=axes, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(f"% of the true class's {unit}", color=MUTED, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, colors=MUTED, length=0)
    for y, x in np.argwhere((share >= 0.5) & (len(shown) <= 40)):  # only if numbers are readable
        color = "white" if share[y, x] > 35 else TEXT
        axes.text(x, y, f"{share[y, x]:.0f}", ha="center", va="center", size=font, color=color)
    plot_style.save(figure, path)


def _most_confused(counts: NDArray[np.integer], worst: int) -> list[int]:
    counts = counts.astype(np.int64)  # narrow or unsigned types would wrap in sums and negatives
    pairs = np.stack(np.triu_indices(len(counts), 1), axis=1)
    confusions = (counts + counts.T)[pairs[:, 0], pairs[:, 1]]
    chosen: list[int] = []
    for pair in pairs[np.argsort(-confusions, kind="stable")].tolist():
        new = [i for i in pair if i not in chosen]
        if len(chosen) + len(new) <= worst:
            chosen += new
    return chosen
