"""Conversion of lines of notes to voices on the grid of sixteenth notes."""

from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations, groupby

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import PITCHES
from rnnray.chorale.data.articulation import Articulation, step_of, to_next_beginning
from rnnray.chorale.data.chorale_table import out_of_range
from rnnray.chorale.data.lines import Line, Note
from rnnray.chorale.data.repairs import Repair, Repairs

Column = npt.NDArray[np.int16]
"""int16 [n]: the pitch of a voice at each sixteenth note, 0 = silence."""

MOST_STEPS = 1 << 16  # over an hour of music; a damaged MIDI file may claim years
# A line that is divided, or in unison, for a larger share of its time has more than one voice, not
# a fault.
SMALL = Fraction(1, 4)


@dataclass
class Voices:
    """A line on the grid."""

    line: Line
    columns: list[Column] = field(default_factory=list)  # highest first; lengths may differ
    onsets: list[npt.NDArray[np.bool_]] = field(default_factory=list)  # where their notes begin
    repairs: Repairs = field(default_factory=Repairs)
    fault: str = ""  # reason why there are no columns, with the position


@dataclass
class _Held:
    """A note on the grid."""

    start: int  # in sixteenths
    stop: int
    note: Note


def on_grid(
    line: Line, of_piece: Articulation, *, lowest: bool, pitches: range = PITCHES
) -> Voices:
    """Return the voices of a line: one, or several if it always has several notes at once.

    Beginnings and ends move to the nearest sixteenth. In a played line, an end that comes a little
    before the next beginning moves there. Remaining gaps, overlaps and chords are repaired by the
    rules of `Repair`, or become the fault.

    Args:
        line: notes of the line.
        of_piece: articulation of all lines.
        lowest: whether it is the lowest line, of whose chords the lowest note is kept.
        pitches: accepted pitches.
    """
    voices = Voices(line, fault=line.fault)
    bad = next((note for note in line.notes if note.pitch not in pitches), None)
    if bad and not voices.fault:
        voices.fault = f"{bad.where}: {out_of_range(bad.pitch, pitches)}"
    if voices.fault:
        return voices
    length = max((step_of(note.end) for note in line.notes), default=0)
    if length > MOST_STEPS:
        voices.fault = f"lasts {length} sixteenth notes; at most {MOST_STEPS} are read"
        return voices
    notes = line.notes
    if line.played:
        notes = to_next_beginning(line, of_piece, voices.repairs)
    held = _rounded(notes, voices.repairs)
    if not held:
        return voices
    length = max(item.stop for item in held)
    count = _notes_at_once(held)
    if count == 1:
        held = _without_doubled(held, voices.repairs)
    _cut_overlaps(held, count, voices.repairs)
    held = [item for item in held if item.start < item.stop]
    counts = _counts(held, length)
    sounding = counts > 0
    uneven = np.flatnonzero(sounding & (counts != count))
    # The whole last chord may be divided, however short the piece is.
    before = uneven[uneven < max(item.start for item in held)]
    wrong = uneven if len(before) > SMALL * int(sounding.sum()) else uneven[:0]
    if line.played and count == 1 and not len(wrong):
        wrong = uneven[~_begun_together(held, length)[uneven]]
    if len(wrong):
        where = max((h for h in held if h.start <= wrong[0]), key=lambda h: h.start).note.where
        voices.fault = (
            f"{where}: {counts[wrong[0]]} notes at once, elsewhere {count}; "
            "notes overlap in a voice, or voices need parts or tracks of their own"
        )
        return voices
    grid = _grid(held, length, count, lowest, voices.repairs)
    voices.columns = [*grid.T]
    voices.onsets = [*_onsets(held, grid).T]
    return voices


def _notes_at_once(held: list[_Held]) -> int:
    """Return the commonest number of notes at once."""
    counts = _counts(held, max((item.stop for item in held), default=0))
    return int(np.bincount(counts[counts > 0]).argmax()) if held else 0


def _rounded(notes: list[Note], repairs: Repairs) -> list[_Held]:
    held = []
    for note in notes:
        item = _Held(step_of(note.start), step_of(note.end), note)
        if item.start >= item.stop:
            repairs[Repair.TOO_SHORT] += 1
            continue
        # A player's haste moves notes less than this, and triplets move more.
        repairs[Repair.MOVED] += abs(note.start * 4 - item.start) >= SMALL
        held.append(item)
    return sorted(held, key=lambda item: item.start)


def _counts(held: list[_Held], length: int) -> npt.NDArray[np.int64]:
    """Return the number of notes at each step."""
    changes = np.zeros(length + 1, np.int64)
    for item in held:
        changes[item.start] += 1
        changes[item.stop] -= 1
    return np.cumsum(changes)[:-1]


def _begun_together(held: list[_Held], length: int) -> npt.NDArray[np.bool_]:
    """Return, for each step, whether all notes that sound there began together."""
    first = np.full(length, length, np.int64)
    last = np.zeros(length, np.int64)
    for item in held:
        span = slice(item.start, item.stop)
        first[span] = np.minimum(first[span], item.start)
        last[span] = np.maximum(last[span], item.start)
    return np.equal(first, last)


def _without_doubled(held: list[_Held], repairs: Repairs) -> list[_Held]:
    """Return the first of equal notes that begin together."""
    first: dict[tuple[int, int], _Held] = {}
    for item in held:
        repairs[Repair.DOUBLED] += first.setdefault((item.start, item.note.pitch), item) is not item
    return list(first.values())


def _cut_overlaps(held: list[_Held], count: int, repairs: Repairs) -> None:
    """Cut notes where others begin and too many sound.

    Cuts at most half of the shorter of two notes, or any length if the same pitch begins again.
    """
    active: list[_Held] = []
    for start, group in groupby(held, key=lambda item: item.start):
        new = list(group)
        active = sorted((item for item in active if item.stop > start), key=lambda item: item.stop)
        shortest = min(item.stop - item.start for item in new)
        for item in active[: max(0, len(active) + len(new) - count)]:
            small = 2 * (item.stop - start) <= min(shortest, item.stop - item.start)
            if small or [again.note.pitch for again in new] == [item.note.pitch]:
                item.stop = start
                repairs[Repair.OVERLAP] += 1
        active += new


def _grid(
    held: list[_Held], length: int, count: int, lowest: bool, repairs: Repairs
) -> npt.NDArray[np.int16]:
    """Return int16 [n, count]: chords are reduced to their outer notes, two voices sing unisons."""
    at_once: list[list[_Held]] = [[] for _ in range(length)]
    for item in held:
        for step in range(item.start, item.stop):
            at_once[step].append(item)
    grid = np.zeros((length, count), np.int16)
    upper = 0 if count == 1 and lowest else (count + 1) // 2
    last: list[_Held] = []
    for step, items in enumerate(at_once):
        if not items:
            last = items
            continue
        items.sort(key=lambda item: -item.note.pitch)
        new = items != last
        pitches = [item.note.pitch for item in items]
        if len(items) > count:
            repairs[Repair.DIVIDED] += new
            pitches = pitches[:upper] + pitches[len(pitches) - (count - upper) :]
        elif len(items) < count:
            repairs[Repair.UNISON] += new
            pitches = _in_unison(pitches, grid[step - 1] if step else grid[0])
        grid[step] = pitches
        last = items
    return grid


def _onsets(held: list[_Held], grid: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Return bool [n, count]: whether a note of the grid's pitch begins there."""
    onsets = np.zeros(grid.shape, bool)
    for item in held:
        if not item.note.tied:
            onsets[item.start] |= grid[item.start] == item.note.pitch
    return onsets


def _in_unison(pitches: list[int], before: Column) -> list[int]:
    """Share fewer notes than voices, highest first, so that voices move least."""
    choices = [
        [pitches[sum(cut <= voice for cut in cuts)] for voice in range(len(before))]
        for cuts in combinations(range(1, len(before)), len(pitches) - 1)
    ]
    return min(choices, key=lambda choice: int(np.abs(before - np.array(choice)).sum()))


def without_divisions(lines: list[Line]) -> list[Line]:
    """Join each line that sounds for a small share of its part's time to the nearest main line.

    Such lines are voices for a divided chord or two, in a score of four voices.
    """
    joined: list[Line] = []
    for _, group in groupby(lines, key=lambda line: line.part):
        of_part = list(group)
        longest = max(line.sounding for line in of_part)
        main = [at for at, line in enumerate(of_part) if line.sounding >= SMALL * longest]
        for at, line in enumerate(of_part):
            if at not in main:
                nearest = min((abs(other - at), other) for other in main)[1]
                home = of_part[nearest]
                notes = sorted(home.notes + line.notes, key=lambda note: note.start)
                of_part[nearest] = replace(home, notes=notes, fault=home.fault or line.fault)
        joined += [of_part[at] for at in main]
    # A part's only line needs no number.
    alone = Counter(line.part for line in joined)
    return [replace(line, voice="") if alone[line.part] == 1 else line for line in joined]
