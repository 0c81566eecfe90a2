"""Repairs of scores while reading them, so that a small fault does not discard the piece.

Each repair follows a fixed rule and is counted; a corpus adds up the counts.
"""

from collections import Counter
from enum import StrEnum

Repairs = Counter["Repair"]
"""Number of repairs of each kind."""


class Repair(StrEnum):
    """A kind of repair; its value completes the words "NUMBER times: "."""

    ARTICULATION = "a note released early lasts until the next one begins"
    OVERLAP = "a note is cut where the next one of its voice begins"
    DOUBLED = "the second of two equal simultaneous notes is left out"
    DIVIDED = "only the outer note of a chord in one voice is kept"
    UNISON = "a note is sung by two voices"
    TOO_SHORT = "a note too short for the grid of sixteenth notes is left out"
    MOVED = "a note moves to the nearest sixteenth (three triplet eighths become 1, 2, 1)"
    GRACE = "a grace note is left out"
    CUE = "a cue note is not sung"
    SHORT_BAR = "a bar is shorter in one part than in the others; rests fill it"
    SHORT_BARS = "a bar is shorter than its metre in all parts; the next one follows at once"
    METRE = "a piece is not in 4/4; its bars are counted as 4/4 from its first chord"
    UPBEAT = "a piece begins with an upbeat, which is counted as the beginning of a bar"
    BAD_EVENT = "a MIDI event with invalid values is ignored"
    LEFT_OUT = "a part that is not of the choir is left out"


def described(repairs: Repairs) -> list[str]:
    """Return a line for people for each kind that occurred, in the order of `Repair`."""
    return [f"{repairs[kind]} times: {kind}" for kind in Repair if repairs[kind]]
