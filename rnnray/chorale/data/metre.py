"""The metre and the upbeat of a piece, as its file gives them."""

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

WHOLE = Fraction(4)
"""Quarter notes in a bar of 4/4, the only bars that the composer knows."""


class Metre(NamedTuple):
    """A metre and an upbeat; 4/4 without an upbeat if the file has none."""

    name: str = ""  # such as 3/4, or "3/4 and 4/4"; empty if all bars have four quarter notes
    upbeat: Fraction = Fraction()  # quarter notes before the first bar line; 0 for none


def metre_of(bars: Iterable[tuple[str, Fraction]], upbeat: Fraction) -> Metre:
    """Return the metre of a piece.

    Args:
        bars: name and quarter notes of the metre of some or all bars, in order.
        upbeat: see `Metre`.
    """
    metres = dict(bars)
    other = any(length != WHOLE for length in metres.values())
    return Metre(" and ".join(metres) if other else "", upbeat)
