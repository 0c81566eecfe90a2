"""What a teacher of harmony would mark in a chorale, in figures, to set beside Bach's own.

The rules are those of Kostka and Payne, "Tonal Harmony", chapter 5 (principles of voice leading);
parallels are what music21's `VoiceLeadingQuartet` calls similar motion with `parallelFifth()`,
`parallelUnison()` or `parallelOctave()`, and moves from a unison to an octave or back besides.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

LOWEST = np.array([60, 52, 46, 36], np.int16)
HIGHEST = np.array([81, 74, 69, 66], np.int16)
"""The voices' ranges (MIDI pitches): the lowest and highest notes of each in the train split of
the JSB chorales (Boulanger-Lewandowski, 2012), 229 pieces."""

_PAIRS = np.array(list(combinations(range(4), 2)))
_FIFTH, _OCTAVE = 7, 12  # semitones


@dataclass(frozen=True)
class Critique:
    """The figures of a batch of chorales, taken together.

    A step is a sixteenth note, a note is a step of one voice. A silent voice forms no interval, is
    never out of range, and nothing moves from or to it. Shares are from 0 to 1, and 0 where there
    is nothing to count; those of steps are shares of the steps in which any voice sounds.
    """

    chorales: int
    steps: int
    """Steps of all chorales, silent ones too."""
    parallel_fifths: float
    """Per 64 sounding steps: two voices move in the same direction from one step to the next, and
    were and are a perfect fifth apart, or one and more octaves (any of the six pairs)."""
    parallel_octaves: float
    """Per 64 sounding steps: likewise for unisons and octaves; also from one to the other."""
    crossing: float
    """Share of steps with a voice below the next lower one."""
    spacing: float
    """Share of steps with more than an octave between soprano and alto, or alto and tenor."""
    out_of_range: float
    """Share of notes below `LOWEST` or above `HIGHEST` of their voice."""
    changes: float
    """Share of notes that differ from the same voice a step before; first steps do not count."""
    silence: float
    """Share of notes that are silent."""
    frozen: float
    """Steps of the longest passage in which no voice changes, averaged over the chorales.
    A silence of all voices is such a passage too."""
    longest_frozen: int
    """Steps of the longest such passage of all."""

    def as_dict(self) -> dict[str, float]:
        """The figures by name, for JSON."""
        return asdict(self)


def critique(chorales: Sequence[NDArray[np.int16]]) -> Critique:
    """Judge chords, int16 [n, 4] each (n may differ), as one batch.

    Raises:
        ValueError: no chorales, one without a step, or chords not [n, 4].
    """
    if not chorales:
        raise ValueError("no chorales: a critique needs at least one")
    for i, chords in enumerate(chorales):
        if chords.ndim != 2 or chords.shape[1] != 4 or len(chords) == 0:
            raise ValueError(f"chorale {i}: chords of shape {chords.shape}, expected [n, 4], n > 0")
    now = np.concatenate(chorales).astype(np.int16, copy=False)
    first = np.zeros(len(now), bool)
    first[np.cumsum([0, *map(len, chorales[:-1])])] = True
    # The first step of a chorale follows nothing: its own chord stands in, so that nothing moves.
    before = np.where(first[:, None], now, np.roll(now, 1, axis=0))
    sounds = now > 0
    steps = int(sounds.any(axis=1).sum())

    upper, lower = _PAIRS.T
    motion = np.sign(now - before) * (sounds & (before > 0))
    together = (motion[:, upper] == motion[:, lower]) & (motion[:, upper] != 0)
    was = np.abs(before[:, upper] - before[:, lower])
    becomes = np.abs(now[:, upper] - now[:, lower])
    fifths = together & (was % _OCTAVE == _FIFTH) & (becomes % _OCTAVE == _FIFTH)
    octaves = together & (was % _OCTAVE == 0) & (becomes % _OCTAVE == 0)

    gaps = now[:, :-1] - now[:, 1:]
    interval = sounds[:, :-1] & sounds[:, 1:]
    crossed = (interval & (gaps < 0)).any(axis=1)
    apart = (interval & (gaps > _OCTAVE))[:, :2].any(axis=1)

    changed = now != before
    frozen = _longest_runs(first, changed.any(axis=1))
    return Critique(
        chorales=len(chorales),
        steps=len(now),
        parallel_fifths=64 * _share(fifths.sum(), steps),
        parallel_octaves=64 * _share(octaves.sum(), steps),
        crossing=_share(crossed.sum(), steps),
        spacing=_share(apart.sum(), steps),
        out_of_range=_share((sounds & ((now < LOWEST) | (now > HIGHEST))).sum(), sounds.sum()),
        changes=_share((changed & sounds).sum(), sounds[~first].sum()),
        silence=1 - _share(sounds.sum(), sounds.size),
        frozen=float(frozen.mean()),
        longest_frozen=int(frozen.max()),
    )


def beside(composed: Critique, bach: Critique) -> list[str]:
    """The lines of a table for people: each figure of `composed` beside Bach's own."""
    rows = [("", "composed", "Bach")]
    for name, key, form in (
        ("chorales", "chorales", ","),
        ("steps (1/16 notes)", "steps", ","),
        ("parallel fifths per 64 steps", "parallel_fifths", ".3f"),
        ("parallel octaves per 64 steps", "parallel_octaves", ".3f"),
        ("steps with crossing voices", "crossing", ".2%"),
        ("steps with gaps over an octave", "spacing", ".2%"),
        ("notes out of the voice's range", "out_of_range", ".2%"),
        ("notes that change", "changes", ".1%"),
        ("silent notes", "silence", ".2%"),
        ("longest frozen passage, mean", "frozen", ".1f"),
        ("longest frozen passage of all", "longest_frozen", ","),
    ):
        left, right = (format(getattr(figures, key), form) for figures in (composed, bach))
        rows.append((name, left, right))
    return [f"{name:32}{left:>10}{right:>10}" for name, left, right in rows]


def _share(count: int, of: int) -> float:
    return float(count / of) if of else 0.0


def _longest_runs(first: NDArray[np.bool_], changed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The most steps without a change in each chorale, int64 [chorales]."""
    starts = np.flatnonzero(first | changed)
    lengths = np.diff(starts, append=len(first))
    return np.maximum.reduceat(lengths, np.flatnonzero(first[starts]))
