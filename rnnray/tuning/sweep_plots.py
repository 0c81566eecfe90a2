"""Plots of a sweep: its trials' scores, over time and against the searched fields.

Each public function writes one PNG to `path`, whole or not at all, and makes its folder if needed.
It raises `UserError` if the file cannot be written, and ValueError if there are no trials or no
fields. Shared arguments:

    trials: in the order in which they were started; all with the same fields.
    score: name of the score with its unit, and the better end: ("nats per note", "min").
    log: paths of the fields that were searched on a logarithmic scale.
    choices: paths of the fields that were searched among given values. These become categories,
        as do all values that are not numbers (texts, tuples, true and false, none).

A trial's score is the best of its epochs; the best trial is the first that has the best score.
Scores far worse than most would press all others together: the axes end before such scores, which
are drawn at the edge, and the title says so.
"""

import math
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.plot_style import BLUE, BODY, FAINT, MUTED, ORANGE, PAPER, SMALL, TEXT, VERMILION
from rnnray.tuning.plot_axes import fields_of, number_text, ticks_of
from rnnray.tuning.trial_curve import Score, Status, TrialCurve

_Floats = NDArray[np.float64]

# For each status: name in the legend; shape, edge, face and size (points) of its mark.
_STATUS: dict[Status, tuple[str, dict[str, Any]]] = {
    "finished": ("finished", {"marker": "o", "mec": BLUE, "mfc": BLUE, "ms": 4.5}),
    "stopped": ("stopped early", {"marker": "o", "mec": BLUE, "mfc": "white", "ms": 4.5}),
    "running": ("running", {"marker": ">", "mec": BLUE, "mfc": "white", "ms": 5}),
    "diverged": ("diverged", {"marker": "x", "mec": TEXT, "mfc": TEXT, "ms": 5.5, "mew": 1.4}),
    "failed": ("failed", {"marker": "s", "mec": TEXT, "mfc": ORANGE, "ms": 4.5, "mew": 0.8}),
}
_BEST: dict[str, Any] = {"marker": "*", "mec": "white", "mfc": VERMILION, "ms": 14, "mew": 0.8}
# Better is darker. The lightness changes evenly, so that every colour vision can read it. The
# lightest fifth would be lost on white.
_COLORS = colormaps["viridis_r"].resampled(256)
_LIGHTEST = 0.2


def score_curves(path: Path, trials: Sequence[TrialCurve], score: Score) -> None:
    """Draw the score of every trial over its epochs, the best trial on top, as a PNG.

    The mark at a trial's last score shows its status. Trials without a score are only counted.
    """
    finals = _finals(trials, score)
    best, *_ = order = _best_first(finals, score)
    curves = [_finite(trial.scores) for trial in trials]
    low, high, title = _frame(np.concatenate(curves), trials, finals, score)
    figure = plot_style.new(9, 5)
    axes = plot_style.chart(
        figure, (1, 1, 1), plot_style.wrap(title, 80, 3), xlabel="epoch", ylabel=_words(score)
    )
    crowd = min(1, math.sqrt(12 / len(trials)))
    for i in order[::-1]:
        curve = np.clip(curves[i], low, high)
        known = np.flatnonzero(~np.isnan(curve))
        if not len(known):
            continue
        alone = [int(k) for k in known if k - 1 not in known and k + 1 not in known]
        color, width = (VERMILION, 2.2) if i == best else (MUTED, 0.4 + 0.6 * crowd)
        epochs = np.array(trials[i].at_epochs(), np.float64)
        axes.plot(epochs, curve, ".-", color=color, lw=width, markevery=alone)
        mark = dict(_STATUS[trials[i].status][1])
        mark["ms"] *= 0.6 + 0.4 * crowd
        axes.plot(epochs[known[-1]], curve[known[-1]], ls="none", zorder=3, clip_on=False, **mark)
        if i == best:
            peak = epochs[np.flatnonzero(curve == finals[i])[0]]
            axes.plot(peak, finals[i], ls="none", zorder=4, clip_on=False, **_BEST)
    ends = [epoch for trial in trials for epoch in trial.at_epochs()]
    axes.set_xlim(min([1, *ends]) - 0.5, max([1, *ends]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    _score_axis(axes, low, high)
    _legend(figure, trials, finals)
    plot_style.save(figure, path)


def score_against_fields(
    path: Path,
    trials: Sequence[TrialCurve],
    score: Score,
    *,
    log: Container[str] = (),
    choices: Container[str] = (),
) -> None:
    """Draw the score of each trial against the value of each searched field, as a PNG.

    Each field has a panel; all panels have the same axis of scores. Trials without a score are
    grey, in a strip below the others. If many trials share few values, their marks are spread
    beside the value.
    """
    finals = _finals(trials, score)
    best, *_ = order = _best_first(finals, score)
    fields = fields_of(trials, log, choices)
    low, high, title = _frame(finals, trials, finals, score)
    none = low - 0.14 * (high - low)
    heights = np.where(np.isnan(finals), none, np.clip(finals, low, high))
    columns = 3 if len(fields) in (5, 6, 9) else min(len(fields), 4)
    rows = math.ceil(len(fields) / columns)
    figure = plot_style.new(max(5.5, 0.8 + 2.9 * columns), 1.1 + 2.6 * rows)
    for k, field in enumerate(fields):
        axes = plot_style.chart(figure, (rows, columns, k + 1), "", xlabel=field.label)
        axes.grid(axis="x", color=FAINT, linewidth=0.3)
        positions = _beside(field.positions, best)
        for i in order[::-1]:
            mark = _STATUS[trials[i].status][1]
            if np.isnan(finals[i]):
                mark = mark | {"mec": MUTED, "mfc": "none"}
            elif i == best:
                mark = _BEST
            axes.plot(positions[i], heights[i], ls="none", clip_on=False, **mark)
        axes.set_xlim(-0.06, 1.06)
        _score_axis(axes, low, high)
        if np.isnan(finals).any():
            ticks = {none: "no metric", **ticks_of(low, high, 6)}
            axes.set_yticks([*ticks], [*ticks.values()])
            axes.axhspan(1.5 * none - 0.5 * low, (none + low) / 2, color=PAPER, zorder=0)
            axes.set_ylim(bottom=1.5 * none - 0.5 * low)
        texts, tilt, room = [*field.ticks.values()], 0, 12
        if field.is_choice:
            tilt, room = (90, 16) if len(texts) > 6 else (0, 30 // len(texts))
        lines = 1 if tilt else 3
        axes.set_xticks([*field.ticks], [plot_style.wrap(t, room, lines) for t in texts])
        axes.tick_params(axis="x", labelsize=SMALL, labelrotation=tilt)
        axes.tick_params(axis="y", labelleft=k % columns == 0)
    figure.suptitle(
        plot_style.wrap(title, int(9 * figure.get_figwidth()), 3),
        x=0.01, ha="left", fontsize=plot_style.TITLE, color=TEXT, parse_math=False,
    )  # fmt: skip
    figure.supylabel(_words(score), color=MUTED, fontsize=BODY)
    _legend(figure, trials, finals)
    plot_style.save(figure, path)


def parallel_coordinates(
    path: Path,
    trials: Sequence[TrialCurve],
    score: Score,
    *,
    log: Container[str] = (),
    choices: Container[str] = (),
) -> None:
    """Draw each trial as a line through its values, an axis a field, to its score, as a PNG.

    Better trials are darker and lie on top. Trials that share a value pass it side by side, the
    better above, so that each line can be followed. Trials without a score are dashed grey lines
    that end below the axis of scores.
    """
    finals = _finals(trials, score)
    best, *_ = order = _best_first(finals, score)
    fields = fields_of(trials, log, choices)
    low, high, title = _frame(finals, trials, finals, score)
    right = len(fields)
    ends = (np.clip(finals, low, high) - low) / (high - low)
    goodness = ends if score[1] == "max" else 1 - ends
    heights = [_side_by_side(field.positions, order[::-1]) for field in fields]
    heights.append(np.where(np.isnan(ends), -0.1, ends))
    figure = plot_style.new(max(5.5, 1.6 + 1.4 * right), 5)
    title = plot_style.wrap(title, int(9 * figure.get_figwidth()), 3)
    axes = plot_style.chart(figure, (1, 1, 1), title)
    axes.grid(visible=False)
    crowd = min(1, math.sqrt(40 / len(trials)))
    for i in order[::-1]:
        look: dict[str, Any] = {"color": MUTED, "lw": 0.8, "ls": (0, (3, 3)), "alpha": 0.7}
        if not np.isnan(finals[i]):
            width = (0.9 + 0.7 * goodness[i]) * crowd
            look = {"color": _color(goodness[i]), "lw": width, "alpha": 0.9}
            look = {"color": VERMILION, "lw": 2.6} if i == best else look
        axes.plot([height[i] for height in heights], solid_joinstyle="round", **look)
    axes.vlines(range(right + 1), 0, 1, color=TEXT, lw=0.9, zorder=3)
    strip = np.linspace(0, 1, 256) if score[1] == "max" else np.linspace(1, 0, 256)
    axes.imshow(
        _color(strip)[:, None], extent=(right, right + 0.06, 0, 1), origin="lower", aspect="auto",
        interpolation="nearest", zorder=3.5,
    )  # fmt: skip
    for k, field in enumerate(fields):
        axes.hlines([*field.ticks], k - 0.03, k, color=TEXT, lw=0.9, zorder=3)
        for height, text in field.ticks.items():
            axes.text(
                k - 0.05, height, plot_style.wrap(text, 12, 2), ha="right", va="center", zorder=5,
                fontsize=SMALL, color=TEXT, parse_math=False,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
    ticks = {
        (position - low) / (high - low): text for position, text in ticks_of(low, high, 6).items()
    }
    if np.isnan(finals).any():
        ticks[-0.1] = "no metric"
    axes.yaxis.tick_right()
    axes.set_yticks([*ticks], [*ticks.values()], color=TEXT, fontsize=SMALL)
    names = [plot_style.wrap(field.label, 16, 2) for field in fields]
    axes.set_xticks(range(right + 1), [*names, plot_style.wrap(_words(score), 20, 3)])
    axes.tick_params(axis="x", top=False, labeltop=True, labelbottom=False, labelcolor=TEXT)
    axes.set_xlim(-0.35, right + 0.06)
    axes.set_ylim(-0.16 if -0.1 in ticks else -0.03, 1.03)
    if not np.isnan(finals).all():
        key = Line2D([], [], color=VERMILION, lw=2.6, label="best trial")
        figure.legend(handles=[key], loc="outside lower center", frameon=False, fontsize=BODY)
    plot_style.save(figure, path)


def _finite(scores: Sequence[float]) -> _Floats:
    values = np.array(scores, np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _finals(trials: Sequence[TrialCurve], score: Score) -> _Floats:
    """Return each trial's best score; NaN if it has none."""
    if not trials:
        raise ValueError("no trials: a plot of a sweep needs at least one")
    pick = np.fmin if score[1] == "min" else np.fmax
    return np.array([pick.reduce(_finite(trial.scores), initial=np.nan) for trial in trials])


def _best_first(finals: _Floats, score: Score) -> list[int]:
    """Return the indices of the trials, from the best one to those without a score."""
    badness = np.nan_to_num(finals if score[1] == "min" else -finals, nan=np.inf)
    return [int(i) for i in np.argsort(badness, kind="stable")]


def _frame(
    scores: _Floats, trials: Sequence[TrialCurve], finals: _Floats, score: Score
) -> tuple[float, float, str]:
    """Return the ends of the axis of scores, and the title, which names scores outside of it."""
    count = f"{len(trials):,} trial{'s' if len(trials) > 1 else ''}"
    known = np.sort(scores[~np.isnan(scores)])
    if not len(known):
        return 0.0, 1.0, f"{count}, none with a metric"
    known = known if score[1] == "min" else known[::-1]
    best, usual, worst = known[0], known[int(0.8 * (len(known) - 1))], known[-1]
    name = trials[_best_first(finals, score)[0]].name
    title = f"{count}: best {best:.5g} by {name}"
    if none := int(np.isnan(finals).sum()):
        title += f"; without a metric: {none:,}"
    if abs(worst - best) > 15 * abs(usual - best) > 0:
        near = known[np.abs(known - best) <= 3 * abs(usual - best)]
        extreme = number_text(float(f"{worst:.3g}"))
        title += f"; metrics beyond the axis: {len(known) - len(near):,} (to {extreme})"
        worst = near[-1] + 0.15 * (near[-1] - best)
    if worst == best:
        margin = abs(best) / 10 or 0.5
        return float(best - margin), float(best + margin), title
    return float(min(best, worst)), float(max(best, worst)), title


def _side_by_side(heights: _Floats, order: Sequence[int]) -> _Floats:
    """Spread equal heights, from 0 to 1, upwards in the given order."""
    levels, which = np.unique(heights, return_inverse=True)
    room = min([0.06, *(0.6 * np.diff(levels))])
    apart = heights.copy()
    for level in range(len(levels)):
        same = [i for i in order if which[i] == level]
        spread = min(room, 0.012 * (len(same) - 1)) / 2
        apart[same] += np.linspace(-spread, spread, len(same)) if len(same) > 1 else 0
    return apart


def _beside(positions: _Floats, best: int) -> _Floats:
    """Move positions from 0 to 1 a little if many trials share few; the best trial's stays."""
    levels = np.unique(positions)
    if len(levels) > len(positions) / 5:
        return positions
    gap = min([0.5, *np.diff(levels)])
    golden = (math.sqrt(5) - 1) / 2  # its multiples fill a range evenly
    moves = (np.arange(len(positions)) - best) * golden
    moved: _Floats = positions + 0.4 * gap * (moves - moves.round())
    return moved


def _color(goodness: Any) -> Any:
    return _COLORS(_LIGHTEST + (1 - _LIGHTEST) * goodness)


def _words(score: Score) -> str:
    return f"{score[0]} ({'lower' if score[1] == 'min' else 'higher'} is better)"


def _score_axis(axes: Axes, low: float, high: float) -> None:
    margin = 0.05 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    ticks = ticks_of(low - margin, high + margin, 6)
    axes.set_yticks([*ticks], [*ticks.values()])


def _legend(figure: Figure, trials: Sequence[TrialCurve], finals: _Floats) -> None:
    """Draw the legend: the best trial, and each status that occurs, with its count."""
    counts = Counter(trial.status for trial in trials)
    keys = (
        [] if np.isnan(finals).all() else [Line2D([], [], ls="none", **_BEST, label="best trial")]
    )
    for status, (name, mark) in _STATUS.items():
        if counts[status]:
            keys.append(Line2D([], [], ls="none", **mark, label=f"{name} ({counts[status]:,})"))
    columns = 6 if figure.get_figwidth() > 8 else 3
    figure.legend(
        handles=keys, loc="outside lower center", ncols=columns, frameon=False, fontsize=BODY
    )
