"""Lines of notes, as files of scores have them, before they are put on the grid."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class Note(NamedTuple):
    """A note of a score."""

    pitch: int  # MIDI
    start: Fraction  # quarter notes from the beginning
    end: Fraction
    where: str  # position in the score, for messages
    tied: bool = False  # continues the note before


@dataclass(frozen=True)
class Line:
    """The notes of a voice of a staff, or of a channel of a track."""

    part: int  # parts and tracks count from 0
    part_name: str
    voice: str  # "voice 2", "channel 3"; empty for a part's single line
    notes: list[Note]
    played: bool = False  # notes end as a player released them, not as in a score
    fault: str = ""  # reason why the line cannot be used, with the position

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{self.part_name}, {self.voice}" if self.voice else self.part_name

    @property
    def sounding(self) -> Fraction:
        """Sum of the notes' lengths, in quarter notes."""
        return sum((note.end - note.start for note in self.notes), Fraction())


def overlap(one: Iterable[Note], other: Iterable[Note]) -> bool:
    """Return whether a note of one line sounds together with a note of the other."""
    spans = sorted(
        [(note.start, note.end, 0) for note in one if note.start < note.end]
        + [(note.start, note.end, 1) for note in other if note.start < note.end]
    )
    ends = [Fraction(-1), Fraction(-1)]
    for start, end, which in spans:
        if ends[1 - which] > start:
            return True
        ends[which] = max(ends[which], end)
    return False
