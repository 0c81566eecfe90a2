"""Ends of played notes: a note that is released early lasts until the next one begins.

Players and programs hold notes for 75 to 100 % of the time to the next one, which is articulation
and no rest. Scores in files of played notes have rests too, mostly of whole sixteenths. So a line
is articulated if many of its small gaps are of other lengths, or if nearly all of its notes are
held for the same share, or end a sixteenth before the next one. In an articulated piece, this
holds for the lines whose own gaps are ambiguous.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

from rnnray.chorale.data.lines import Line, Note
from rnnray.chorale.data.repairs import Repair, Repairs

# Largest gap that is articulation, as a share of the time from a note's beginning to the next one.
_LARGEST = Fraction(1, 4)
_MANY = Fraction(1, 4)  # share of the small gaps
_NEARLY_ALL = Fraction(3, 4)
_FEWEST = 8  # equal gaps; fewer may be rests
_TOLERANCE = Fraction(1, 100)  # of equal shares, as ticks are whole numbers
_SIXTEENTH = Fraction(1, 4)


def step_of(quarters: Fraction) -> int:
    """Return the nearest sixteenth; the middle between two is rounded up."""
    return int((quarters * 8 + 1) // 2)


@dataclass
class Articulation:
    """The small gaps between the notes of a line, or of a piece."""

    near: int = 0  # notes with the next beginning near their end
    gaps: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    """Length of each gap in quarter notes, and as a share of the time between the beginnings."""

    def is_clear(self) -> bool:
        """Return whether the gaps are articulation, whatever other lines have."""
        off = sum(not _on_sixteenths(gap) for gap, _ in self.gaps)
        if off and off >= _MANY * len(self.gaps):
            return True
        share = self.share()
        several = len({gap for gap, its in self.gaps if its == share}) > 1
        # Dotted quarters, each before an eighth rest, have equal shares too, but of one length.
        return several or self._nearly_all(sum(gap == _SIXTEENTH for gap, _ in self.gaps))

    def share(self) -> Fraction | None:
        """Return the gaps' share of the time between beginnings, if nearly all have the same."""
        if not self.gaps:
            return None
        share = median_low(share for _, share in self.gaps)
        equal = sum(abs(its - share) <= _TOLERANCE for _, its in self.gaps)
        return share if self._nearly_all(equal) else None

    def _nearly_all(self, count: int) -> bool:
        return count >= _FEWEST and count >= _NEARLY_ALL * self.near

    def is_possible(self) -> bool:
        """Return whether the gaps are articulation if those of the piece are."""
        return 2 * len(self.gaps) >= self.near


def articulation(lines: Sequence[Line]) -> Articulation:
    """Return the articulation of the played lines among some."""
    found = Articulation()
    for line in lines:
        if not line.played:
            continue
        for note, end in zip(line.notes, _beginnings(line.notes), strict=True):
            if end is not None:
                found.near += 1
                if end > note.end:
                    gap = end - note.end
                    found.gaps.append((gap, gap / (end - note.start)))
    return found


def to_next_beginning(line: Line, of_piece: Articulation, repairs: Repairs) -> list[Note]:
    """Return a played line's notes; those released a little early last until the next beginning.

    That is the beginning of the line's next note, in any of its voices. In a line of single notes,
    notes that are released a little late are cut there. In an articulated line, notes before rests
    are as much longer as the others if those are held for one share of their lengths, or last to
    the next quarter or eighth note by the same rule; in a line whose notes are released late, to
    the nearest quarter note.

    Args:
        line: a played line.
        of_piece: articulation of all lines.
        repairs: counts of repairs, to which these are added.
    """
    notes = line.notes
    own = articulation([line])
    early = own.is_clear() or (own.is_possible() and of_piece.is_clear())
    share = own.share() or of_piece.share()
    starts = sorted({note.start for note in notes})
    begun = set(starts)
    late = any(note.end > starts[bisect_right(starts, note.start)] for note in notes
               if note.start < starts[-1])  # fmt: skip
    held = []
    for note, beginning in zip(notes, _beginnings(notes), strict=True):
        end = note.end
        whole = _whole(note, share) if early and share else None
        if whole is not None and (beginning is None or whole < beginning):
            end = whole
        elif beginning is not None and (early or not _on_sixteenths(beginning - end)):
            end = beginning
        elif end not in begun:
            if early:
                lasting = [Fraction(-(-end * units // 1)) / units for units in (1, 2)]
                end = _near(note, lasting) or end
            elif late and not _on_sixteenths(end):
                end = _near(note, [Fraction(round(end))]) or end
        kind = Repair.ARTICULATION if end > note.end else Repair.OVERLAP
        repairs[kind] += step_of(note.end) != step_of(end)
        held.append(note._replace(end=end))
    return held


def _beginnings(notes: list[Note]) -> list[Fraction | None]:
    """Return, for each note, the next beginning if it is near the note's end.

    In a line of single notes, a note may also end a little after it.
    """
    starts = sorted({note.start for note in notes})
    first = 1 if _is_single(notes) else 0
    beginnings = []
    for note in notes:
        after = bisect_left(starts, note.end)
        around = starts[max(0, after - first) : after + 1]
        near = [(abs(start - note.end), start) for start in around if start > note.start]
        beginnings.append(_near(note, [min(near)[1]] if near else []))
    return beginnings


def _is_single(notes: list[Note]) -> bool:
    """Return whether the commonest number of notes at once is one."""
    changes: Counter[Fraction] = Counter()
    for note in notes:
        changes[note.start] += 1
        changes[note.end] -= 1
    lengths: dict[int, Fraction] = defaultdict(Fraction)
    at_once = 0
    for time, after in pairwise(sorted(changes)):
        at_once += changes[time]
        lengths[at_once] += after - time
    lengths.pop(0, None)
    return max(lengths, key=lambda count: lengths[count], default=1) == 1


def _whole(note: Note, share: Fraction) -> Fraction | None:
    """Return the end of a note that was released early by a share of its length, if that fits."""
    held = note.end - note.start
    length = Fraction(step_of(held / (1 - share)), 4)
    fits = abs(length * (1 - share) - held) <= min(_TOLERANCE * length, _SIXTEENTH / 8)
    return note.start + length if fits and length >= held else None


def _near(note: Note, targets: list[Fraction]) -> Fraction | None:
    """Return the first target that the note ends near."""
    near = (end for end in targets if abs(end - note.end) <= _LARGEST * (end - note.start))
    return next(near, None)


def _on_sixteenths(quarters: Fraction) -> bool:
    return (quarters * 4).denominator == 1
