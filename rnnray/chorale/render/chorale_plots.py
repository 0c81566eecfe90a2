"""Plots of chorales.

Each public function writes one PNG to `path`, whole or not at all, and makes its folder if needed.
It raises `UserError` if the file cannot be written. No display is needed: pyplot is never used.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.chorale.chorale_config import BAR
from rnnray.chorale.chords import Chords, Onsets
from rnnray.chorale.data.corpus_statistics import Statistics, pitch_counts
from rnnray.plot_style import BLUE, BODY, FAINT, GREEN, MUTED, ORANGE, PAPER, SMALL, TEXT, VERMILION

VOICES = {"soprano": VERMILION, "alto": BLUE, "tenor": ORANGE, "bass": GREEN}
BEAT = 4  # steps (sixteenth notes)
_LINE = 8 * BAR  # steps in a line of a piano roll
_LINES = 20  # most lines: for longer pieces lines grow, so that other programs can open the PNG
_HEIGHT = 0.9  # height of a note, in semitones
_OUTLINE = 1.1  # points
_SLIT = 0.3  # steps between a note and the next one of the same pitch


def piano_roll(
    path: Path,
    chords: Chords,
    title: str,
    given: int = 0,
    given_notes: NDArray[np.bool_] | None = None,
    onsets: Onsets | None = None,
) -> None:
    """Draw the notes of four voices over time, in lines of eight bars, as in a score.

    Bar lines are 16 steps apart, from the first chord. Chords lack the music's own bars,
    which may have an upbeat or three beats.

    Args:
        path: path of the PNG.
        chords: int16 [n, 4]; equal pitches in a row are one held note, 0 is silence.
        title: title of the plot.
        given: number of chords at the beginning that are shaded as given.
        given_notes: bool [n, 4], notes that are outlined as given.
        onsets: bool [n, 4], beginnings of notes, also of those with the same pitch as before.

    Raises:
        ValueError: chords are not [n, 4] for n > 0, or fewer than `given`.
    """
    if chords.ndim != 2 or chords.shape[1] != 4 or not 0 <= given <= len(chords) > 0:
        raise ValueError(f"chords {chords.shape}, {given} given: no such piano roll")
    steps = len(chords)
    none = np.zeros(chords.shape, bool)
    outlined = none if given_notes is None else given_notes
    begun = none if onsets is None else onsets
    line = min(steps, max(_LINE, BAR * math.ceil(steps / _LINES / BAR)))
    lines = math.ceil(steps / line)
    sung = chords[chords > 0]
    low, high = (int(sung.min()), int(sung.max())) if len(sung) else (55, 65)
    width = 1.2 + min(9.6, max(3.4, 0.15 * line))  # inches, like the heights of lines and texts
    height = 1.0 + lines * (0.35 + 0.068 * max(high - low + 3, 12))
    figure = plot_style.new(width, height)
    for i in range(lines):
        heading = plot_style.wrap(title, int(10 * width), 2) if i == 0 else ""
        axes = plot_style.chart(figure, (lines, 1, i + 1), heading)
        _draw_time(axes, i * line, line, min(steps, (i + 1) * line), given)
        part = slice(i * line, (i + 1) * line)
        _draw_notes(axes, chords[part], outlined[part], begun[part], i * line)
        axes.set_ylim(low - 1.5, high + 1.5)
        _name_pitches(axes, low, high)
    axes.set_xlabel(f"bar of {BAR} sixteenths")
    keys = [Patch(color=color, label=voice) for voice, color in VOICES.items()]
    if given:
        keys.append(Patch(facecolor=FAINT, alpha=0.6, label="given"))
    if outlined.any():
        keys.append(Patch(facecolor=PAPER, edgecolor=TEXT, lw=_OUTLINE, label="given"))
    figure.legend(
        handles=keys, loc="outside lower center", ncols=5, frameon=False, fontsize=BODY,
        handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    plot_style.save(figure, path)


def pitch_histogram(path: Path, composed: Sequence[Chords], bach: Statistics) -> None:
    """Draw each voice's shares of pitches beside those in Bach.

    Shares are of the voice's sounding steps, so that long and short chorales can be compared.

    Args:
        path: path of the PNG.
        composed: chorales, int16 [n, 4] each; n may differ.
        bach: statistics of Bach's chorales.

    Raises:
        ValueError: there is no chorale.
    """
    if not composed:
        raise ValueError("no chorales: a pitch histogram needs at least one")
    ours, bachs = (counts.copy() for counts in (pitch_counts(composed), bach.pitches))
    ours[:, 0] = bachs[:, 0] = 0  # silence
    sung = np.flatnonzero((ours + bachs).any(axis=0))
    low, high = (int(sung.min()), int(sung.max())) if len(sung) else (55, 65)
    pitches = np.arange(low, high + 1)
    figure = plot_style.new(8, 7.4)
    title = "Pitches that each voice sings, composed beside Bach's"
    panels = []
    for voice, (name, color) in enumerate(VOICES.items()):
        heading = title if voice == 0 else ""
        axes = plot_style.chart(figure, (4, 1, voice + 1), heading, ylabel=name)
        axes.bar(pitches, _shares(ours[voice, low : high + 1]), 0.8, color=color)
        outline = _shares(bachs[voice, low : high + 1])
        axes.stairs(outline, np.arange(low, high + 2) - 0.5, color=TEXT, lw=1.2)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.set_xlim(low - 1, high + 1)
        _name_pitches(axes, low, high, "x")
        panels.append(axes)
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, top)
    figure.supylabel("share of the voice's sounding sixteenths", color=MUTED, fontsize=BODY)
    keys = [
        Patch(color=MUTED, label=f"composed (chorales: {len(composed):,})"),
        Patch(fill=False, ec=TEXT, label=f"Bach ({bach.critique.chorales:,})"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False, fontsize=BODY)
    plot_style.save(figure, path)


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of the sounding notes that have each pitch; zeros if none sounds."""
    return np.asarray(counts / max(1, counts.sum()), np.float64)


def _draw_time(axes: Axes, start: int, length: int, end: int, given: int) -> None:
    """Draw paper, bar lines and beats of a line of the roll; the last line may end early."""
    axes.grid(visible=False)
    axes.set_xlim(start, start + length)
    axes.axvspan(start, end, color=PAPER, zorder=0)
    if given > start:
        axes.axvspan(start, min(given, end), color=FAINT, alpha=0.6, lw=0, zorder=0.5)
    bars = range(start, end, BAR)
    for steps, color, lw in (range(start, end + 1, BEAT), FAINT, 0.4), (bars, MUTED, 0.8):
        axes.vlines(steps, 0, 1, color, lw=lw, zorder=0.8, transform=axes.get_xaxis_transform())
    axes.set_xticks([*bars], [str(step // BAR + 1) for step in bars], ha="left", fontsize=SMALL)


def _draw_notes(
    axes: Axes, chords: Chords, outlined: NDArray[np.bool_], begun: Onsets, start: int
) -> None:
    """Draw a bar for each held note; voices on the same pitch share its height, upper on top."""
    same = chords[:, :, None] == chords[:, None, :]
    sharing = same.sum(axis=2)
    above = np.tril(same, -1).sum(axis=2)
    for voice, color in enumerate(VOICES.values()):
        notes = np.stack([chords[:, voice], sharing[:, voice], above[:, voice], outlined[:, voice]])
        changes = np.diff(notes, prepend=-1).any(axis=0) | begun[:, voice]
        onsets = np.flatnonzero(changes)
        ends = start + np.append(onsets[1:], len(chords)).astype(np.float64)
        ends[:-1] -= _SLIT * begun[onsets[1:], voice]
        pitches, shares, ranks, given = notes[:, onsets]
        top = pitches + _HEIGHT / 2 - _HEIGHT * ranks / shares
        left, bottom = start + onsets, top - _HEIGHT / shares
        corners = [[left, bottom], [left, top], [ends, top], [ends, bottom]]
        bars = np.moveaxis(np.array(corners, np.float64), -1, 0)[pitches > 0]
        edges = [TEXT if one else "none" for one in given[pitches > 0]] if given.any() else "none"
        axes.add_collection(
            PolyCollection(bars, facecolors=color, edgecolors=edges, lw=_OUTLINE, zorder=2)
        )


def _name_pitches(axes: Axes, low: int, high: int, along: str = "y") -> None:
    """Name each C, E and G (C4 is MIDI pitch 60), with a faint line."""
    names = {0: "C", 4: "E", 7: "G"}
    ticks = [pitch for pitch in range(low - 1, high + 2) if pitch % 12 in names]
    labels = [f"{names[pitch % 12]}{pitch // 12 - 1}" for pitch in ticks]
    if along == "x":
        axes.set_xticks(ticks, labels, fontsize=SMALL)
        return
    axes.set_yticks(ticks, labels, fontsize=SMALL)
    for pitch in ticks:
        axes.axhline(pitch, color=FAINT, lw=0.4, zorder=0.7)
