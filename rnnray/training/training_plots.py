"""Learning curves of a training run."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.plot_style import BLUE, BODY, MUTED, VERMILION

_MARKS = "-o", ":^", "--s", "-.D"


def learning_curves(
    path: Path,
    history: Sequence[Mapping[str, float]],
    *,
    metric_names: Sequence[str],
    score: tuple[str, Literal["max", "min"]],
    loss_label: str = "cross-entropy (nats)",
    share_label: str = "share",
) -> None:
    """Draw the loss and the metrics over the epochs, training against validation, as a PNG.

    Args:
        path: the file to write; its folder is made if need be.
        history: for each epoch, in order: `epoch` (from 1), `loss`, each metric, and the same with
            `validation_` before the name; other keys are ignored, and values that are not finite
            leave a gap.
        metric_names: one or more metrics, each a share from 0 to 1, shown in percent; as a task's
            `metric_names`.
        score: the key of `history` that decides which epoch is best (the first, if several are),
            and its direction; as a task's `score`.
        loss_label: what the loss is, and its unit: "cross-entropy (nats)", "nats per note".
        share_label: what the metrics are shares of: "share of drawings".

    Raises:
        ValueError: no epochs, or no metrics.
        KeyError: an epoch lacks a key.
        UserError: the file cannot be written.
    """
    if not history or not metric_names:
        raise ValueError("no epochs or no metrics: learning curves need at least one of each")

    def values(key: str) -> NDArray[np.float64]:
        column = np.array([row[key] for row in history], np.float64)
        return np.where(np.isfinite(column), column, np.nan)

    epochs, goal = values("epoch"), values(score[0])
    best = None
    if not np.isnan(goal).all():
        best = int(np.nanargmax(goal) if score[1] == "max" else np.nanargmin(goal))
    titles = ["Loss", "Accuracy"]
    if best is not None:
        in_loss = score[0] in ("loss", "validation_loss")
        value = f"{goal[best]:.4f}" if in_loss else f"{goal[best]:.1%}"
        titles[0 if in_loss else 1] += (
            f": best {_words(score[0])} {value} in epoch {epochs[best]:g}"
        )
    figure = plot_style.new(10, 4.2)
    loss = plot_style.chart(figure, (1, 2, 1), titles[0], xlabel="epoch", ylabel=loss_label)
    shares = plot_style.chart(figure, (1, 2, 2), titles[1], xlabel="epoch", ylabel=share_label)
    size = 5 if len(history) <= 15 else 0  # of the markers, which crowd a long run
    marks = cycle(_MARKS)
    for key, axes, mark in [
        ("loss", loss, "-o"),
        *((k, shares, next(marks)) for k in metric_names),
    ]:
        for prefix, color, who in (("", MUTED, "training"), ("validation_", BLUE, "validation")):
            label = f"{who} {_words(key)}"
            axes.plot(epochs, values(prefix + key), mark, color=color, label=label, lw=1.6)
            axes.lines[-1].set(markersize=size, clip_on=False)
    for axes in (loss, shares):
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        if best is not None:
            axes.axvline(epochs[best], color=VERMILION, lw=1, zorder=1, label="best epoch")
    loss.set_ylim(bottom=0)
    low, high = shares.get_ylim()
    shares.set_ylim(max(0, math.floor(10 * low - 0.5) / 10), min(1, math.ceil(10 * high) / 10))
    shares.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    lines, names = shares.get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=5, frameon=False, fontsize=BODY)
    plot_style.save(figure, path)


def _words(key: str) -> str:
    """`validation_top5` as people write it: "validation top-5"."""
    return re.sub(r"(?<=[a-z])(?=\d)", "-", key.replace("_", " "))
