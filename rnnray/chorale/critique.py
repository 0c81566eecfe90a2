"""Counts of the faults that a teacher of harmony would mark, for comparison with Bach.

The rules are those of Kostka and Payne, "Tonal Harmony", chapters 5 (principles of voice leading)
and 13 (the dominant seventh chord). Parallels are similar motion with `parallelFifth()`,
`parallelUnison()` or `parallelOctave()` in music21's `VoiceLeadingQuartet`. Moves from a unison to
an octave or back count too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rnnray.chorale import harmony
from rnnray.chorale.harmony import CLASSES

LOWEST = np.array([62, 57, 51, 38], np.int16)
HIGHEST = np.array([79, 72, 67, 62], np.int16)
"""Comfortable ranges of a choir's voices, MIDI pitches: the 0.5th and 99.5th percentiles of each
voice's notes in the train split of the JSB chorales (Boulanger-Lewandowski, 2012), 229 pieces. The
extreme notes of that corpus lie up to five semitones beyond."""

BEAT = 4  # sixteenths
FIFTH, OCTAVE = 7, 12  # semitones
_PAIRS = np.array(list(combinations(range(4), 2)))
_TRITONE, _SEVENTHS = 6, (10, 11)
STEP = 2  # semitones at most; a leap is more
_AT_ONCE = 512  # chorales; a hundred thousand at once would take too much memory


@dataclass(frozen=True)
class Critique:
    """Statistics of a batch of chorales, taken together.

    A step is a sixteenth note, a note is a step of one voice, a beat is the first step of a quarter
    note. A silent voice forms no interval, is never out of range, and nothing moves from or to it.
    Shares are from 0 to 1, and 0 where there is nothing to count. Shares of steps and beats are of
    those in which any voice sounds. All other faults are counted per 64 sounding steps, four bars.
    """

    chorales: int
    steps: int
    """Steps of all chorales, silent ones too."""
    chords_on_beats: float
    """Share of beats whose notes all belong to one triad (major, minor, diminished, augmented) or
    one seventh chord (dominant, major, minor, half-diminished, diminished), complete or not."""
    clashes: float
    """Share of steps in which two voices are a semitone apart, whatever the octaves."""
    parallel_fifths: float
    """Moves of two voices, any of the six pairs, in the same direction from a perfect fifth to a
    perfect fifth, whatever the octaves."""
    parallel_octaves: float
    """Likewise for unisons and octaves, and from one to the other."""
    hidden_fifths: float
    """Moves of soprano and bass in the same direction, with a leap of the soprano (more than a
    whole tone), from another interval to a perfect fifth, whatever the octaves."""
    hidden_octaves: float
    """Likewise to a unison or octaves."""
    crossing: float
    """Share of steps with a voice below the next lower one."""
    overlap: float
    """Moves of a voice beyond the pitch that the next higher or lower voice had a step before."""
    spacing: float
    """Share of steps with more than an octave between soprano and alto, or alto and tenor."""
    forbidden_leaps: float
    """Leaps by a tritone that the voice does not leave by a step back, by a seventh, or by more
    than an octave."""
    doubled_leading_notes: float
    """Beats on which two voices have a leading note: the third of a dominant seventh chord, the
    third of a major triad whose root falls by a fifth at the next beat, or the root of a diminished
    triad."""
    unresolved_sevenths: float
    """Sevenths of seventh chords on beats that their voice leaves otherwise than by a step down.
    Sevenths before silence or the end do not count, nor do diminished chords, in which any note may
    be the seventh."""
    out_of_range: float
    """Share of notes below `LOWEST` or above `HIGHEST` of their voice."""
    changes: float
    """Share of notes that differ from the same voice a step before; first steps do not count."""
    silence: float
    """Share of notes that are silent."""
    beginnings: float
    """Share of chorales whose first chord is a triad, or part of one."""
    endings: float
    """Share of chorales that end on the triad of their key (see `rnnray.chorale.harmony`) in root
    position, held for a beat at least."""
    frozen: float
    """Steps of the longest passage in which no voice changes, averaged over the chorales. A silence
    of all voices is such a passage too."""
    longest_frozen: int
    """Steps of the longest such passage in any chorale."""

    def as_dict(self) -> dict[str, float]:
        """Return the statistics by name, for JSON."""
        return asdict(self)


def critique(chorales: Sequence[NDArray[np.int16]], *, bar_position: int = 0) -> Critique:
    """Return the statistics of chorales, taken together.

    Args:
        chorales: chords int16 [n, 4] each; n may differ.
        bar_position: sixteenths from the last bar line to the first chord of each.

    Raises:
        ValueError: there are no chorales, one has no chords, or chords are not [n, 4].
    """
    if not chorales:
        raise ValueError("no chorales: a critique needs at least one")
    for i, chords in enumerate(chorales):
        if chords.ndim != 2 or chords.shape[1] != 4 or len(chords) == 0:
            raise ValueError(f"chorale {i}: chords of shape {chords.shape}, expected [n, 4], n > 0")
    total: Counter[str] = Counter()
    longest = 0
    for start in range(0, len(chorales), _AT_ONCE):
        some = chorales[start : start + _AT_ONCE]
        passage = _Passage(some, bar_position)
        for part in (passage.counts(), passage.motion(), passage.harmony(), _ends(some)):
            total.update({name: int(count) for name, count in part.items()})
        frozen = passage.longest_frozen()
        total["frozen"] += int(frozen.sum())
        longest = max(longest, int(frozen.max()))

    def share(name: str, of: str) -> float:
        return total[name] / total[of] if total[of] else 0.0

    def often(name: str) -> float:
        return 64 * share(name, "sounding")

    return Critique(
        chorales=len(chorales),
        steps=total["steps"],
        chords_on_beats=share("chords_on_beats", "beats"),
        clashes=share("clashes", "sounding"),
        parallel_fifths=often("parallel_fifths"),
        parallel_octaves=often("parallel_octaves"),
        hidden_fifths=often("hidden_fifths"),
        hidden_octaves=often("hidden_octaves"),
        crossing=share("crossing", "sounding"),
        overlap=often("overlap"),
        spacing=share("spacing", "sounding"),
        forbidden_leaps=often("forbidden_leaps"),
        doubled_leading_notes=often("doubled_leading_notes"),
        unresolved_sevenths=often("unresolved_sevenths"),
        out_of_range=share("out_of_range", "notes"),
        changes=share("changes", "later_notes"),
        silence=1 - share("notes", "cells"),
        beginnings=total["beginnings"] / len(chorales),
        endings=total["endings"] / len(chorales),
        frozen=total["frozen"] / len(chorales),
        longest_frozen=longest,
    )


class _Passage:
    """Chorales joined into one passage, with the chord before each step and the pitches after."""

    def __init__(self, chorales: Sequence[NDArray[np.int16]], bar_position: int) -> None:
        self.now = now = np.concatenate(chorales).astype(np.int16, copy=False)
        starts = np.cumsum([0, *map(len, chorales)])
        self.first = first = np.zeros(len(now), bool)
        first[starts[:-1]] = True
        position = np.arange(len(now)) - np.repeat(starts[:-1], np.diff(starts)) + bar_position
        self.sounds = now > 0
        self.sounding = self.sounds.any(axis=1)
        self.beats = np.flatnonzero(self.sounding & (position % BEAT == 0))
        self.chorale = np.cumsum(first)
        # The chord before a chorale's first step is that step's own, so that nothing moves there.
        self.before = np.where(first[:, None], now, np.roll(now, 1, axis=0))
        self.changed = now != self.before
        self.moves = (now - self.before) * (self.sounds & (self.before > 0))

    def counts(self) -> dict[str, int]:
        """Count steps and notes, and faults within single chords."""
        now, sounds = self.now, self.sounds
        gaps = now[:, :-1] - now[:, 1:]
        interval = sounds[:, :-1] & sounds[:, 1:]
        upper, lower = _PAIRS.T
        apart = (now[:, upper] - now[:, lower]) % CLASSES
        both = sounds[:, upper] & sounds[:, lower]
        return {
            "steps": len(now),
            "sounding": self.sounding.sum(),
            "notes": sounds.sum(),
            "cells": sounds.size,
            "later_notes": sounds[~self.first].sum(),
            "changes": (self.changed & sounds).sum(),
            "crossing": (interval & (gaps < 0)).any(axis=1).sum(),
            "spacing": (interval & (gaps > OCTAVE))[:, :2].any(axis=1).sum(),
            "out_of_range": (sounds & ((now < LOWEST) | (now > HIGHEST))).sum(),
            "clashes": (both & ((apart == 1) | (apart == CLASSES - 1))).any(axis=1).sum(),
        }

    def motion(self) -> dict[str, int]:
        """Count faults in the motion of voices."""
        now, before, moves = self.now, self.before, self.moves
        upper, lower = _PAIRS.T
        motion = np.sign(moves)
        together = (motion[:, upper] == motion[:, lower]) & (motion[:, upper] != 0)
        was = np.abs(before[:, upper] - before[:, lower]) % OCTAVE
        becomes = np.abs(now[:, upper] - now[:, lower]) % OCTAVE
        outer = (_PAIRS == (0, 3)).all(axis=1).argmax()
        leaps = together[:, outer] & (np.abs(moves[:, 0]) > STEP)
        hidden = leaps & (was[:, outer] != becomes[:, outer])
        moved = motion != 0
        above = moved[:, 1:] & (before[:, :-1] > 0) & (now[:, 1:] > before[:, :-1])
        below = moved[:, :-1] & (before[:, 1:] > 0) & (now[:, :-1] < before[:, 1:])
        size = np.abs(moves)
        onwards = np.where(self.following > 0, self.following - now, 0)
        back = (np.sign(onwards) == -motion) & (np.abs(onwards) <= STEP)
        bad = ((size == _TRITONE) & ~back) | np.isin(size, _SEVENTHS) | (size > OCTAVE)
        return {
            "parallel_fifths": (together & (was == FIFTH) & (becomes == FIFTH)).sum(),
            "parallel_octaves": (together & (was == 0) & (becomes == 0)).sum(),
            "hidden_fifths": (hidden & (becomes[:, outer] == FIFTH)).sum(),
            "hidden_octaves": (hidden & (becomes[:, outer] == 0)).sum(),
            "overlap": above.sum() + below.sum(),
            "forbidden_leaps": bad.sum(),
        }

    def harmony(self) -> dict[str, int]:
        """Count chords on beats, and faults in their voicing and resolution."""
        beats = self.beats
        chords = self.now[beats]
        sets = harmony.pitch_class_sets(chords)
        classes = np.where(chords > 0, chords % CLASSES, -2)
        # Roots at the next beat. After a chorale's last beat the set is empty and has no root.
        follows = np.append(self.chorale[beats][1:] == self.chorale[beats][:-1], False)
        roots = harmony.ROOT[np.where(follows, np.roll(sets, -1), 0)]
        dominants = harmony.DOMINANT[sets]
        falls = (dominants >= 0) & (roots >= 0) & (roots == (dominants + CLASSES - FIFTH) % CLASSES)
        leading = np.where(falls, (dominants + 4) % CLASSES, harmony.LEADING[sets])
        doubled = (classes == leading[:, None]).sum(axis=1) > 1
        following = self.following[beats]
        down = chords - following
        resolved = (following == 0) | ((down > 0) & (down <= STEP))
        return {
            "beats": len(beats),
            "chords_on_beats": harmony.IS_CHORD[sets].sum(),
            "doubled_leading_notes": doubled.sum(),
            "unresolved_sevenths": ((classes == harmony.SEVENTH[sets][:, None]) & ~resolved).sum(),
        }

    def longest_frozen(self) -> NDArray[np.int64]:
        """Return the most steps without a change in each chorale, int64 [chorales]."""
        starts = np.flatnonzero(self.first | self.changed.any(axis=1))
        lengths = np.diff(starts, append=len(self.first))
        return np.maximum.reduceat(lengths, np.flatnonzero(self.first[starts]))

    @cached_property
    def following(self) -> NDArray[np.int16]:
        """Next different pitch of each voice in its chorale, int16 [n, 4]; 0 for rest or end."""
        count = len(self.now)
        step = np.arange(count)[:, None]
        onsets = np.where(self.changed | self.first[:, None], step, count)
        onsets = np.minimum.accumulate(onsets[::-1])[::-1]  # at or after each step
        onsets = np.append(onsets[1:], [[count] * 4], axis=0)  # after it
        there = (onsets < count) & ~self.first[np.minimum(onsets, count - 1)]
        pitches = np.take_along_axis(self.now, np.minimum(onsets, count - 1), axis=0)
        return np.where(there, pitches, 0).astype(np.int16)


def _ends(chorales: Sequence[NDArray[np.int16]]) -> dict[str, int]:
    """Count good beginnings and endings; silent chorales have neither."""
    first = [chords[(chords > 0).any(axis=1).argmax()] for chords in chorales]
    begins = harmony.IS_TRIAD[harmony.pitch_class_sets(np.stack(first))]
    return {"beginnings": begins.sum(), "endings": end_on_tonic(chorales).sum()}


def end_on_tonic(chorales: Sequence[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """Return of each chorale what `Critique.endings` counts: bool [chorales]; false for silence."""
    sounding = [chords[(chords > 0).any(axis=1)] for chords in chorales]
    ends = np.array([len(chords) >= BEAT for chords in sounding])
    sounding = [chords for chords in sounding if len(chords) >= BEAT]
    if not sounding:
        return ends
    last = np.stack([one[-1] for one in sounding])
    held = np.array([(one[-BEAT:] == one[-1]).all() for one in sounding])
    bass = np.where(last > 0, last, np.iinfo(np.int16).max).min(axis=1).astype(np.int64) % CLASSES
    rooted = harmony.ROOT[harmony.pitch_class_sets(last)] == bass
    ends[ends] = held & rooted & harmony.tonic_fits(sounding, bass)
    return ends


def beside(composed: Critique, bach: Critique) -> list[str]:
    """Return the lines of a table for people: each statistic of `composed` beside Bach's."""
    rows = [("", "composed", "Bach")]
    for key, (name, form) in _ROWS.items():
        left, right = (format(getattr(side, key), form) for side in (composed, bach))
        rows.append((name, left, right))
    return [f"{name:38}{left:>10}{right:>10}" for name, left, right in rows]


_ROWS: Mapping[str, tuple[str, str]] = {
    "chorales": ("chorales", ","),
    "steps": ("steps (1/16 notes)", ","),
    "chords_on_beats": ("beats with triads or sevenths", ".1%"),
    "clashes": ("steps with semitone clashes", ".1%"),
    "parallel_fifths": ("parallel fifths per 64 steps", ".3f"),
    "parallel_octaves": ("parallel octaves per 64 steps", ".3f"),
    "hidden_fifths": ("hidden fifths per 64 steps", ".3f"),
    "hidden_octaves": ("hidden octaves per 64 steps", ".3f"),
    "crossing": ("steps with crossing voices", ".2%"),
    "overlap": ("overlapping voices per 64 steps", ".3f"),
    "spacing": ("steps with gaps over an octave", ".2%"),
    "forbidden_leaps": ("forbidden leaps per 64 steps", ".3f"),
    "doubled_leading_notes": ("doubled leading notes per 64 steps", ".3f"),
    "unresolved_sevenths": ("unresolved sevenths per 64 steps", ".3f"),
    "out_of_range": ("notes out of the voice's range", ".2%"),
    "changes": ("notes that change", ".1%"),
    "silence": ("silent notes", ".2%"),
    "beginnings": ("chorales that begin on a triad", ".1%"),
    "endings": ("chorales that end on their tonic", ".1%"),
    "frozen": ("longest frozen passage, mean", ".1f"),
    "longest_frozen": ("longest frozen passage of all", ","),
}
