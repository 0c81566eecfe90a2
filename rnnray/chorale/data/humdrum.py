"""Notes of Humdrum files with **kern spines (https://www.humdrum.org/rep/kern/), by music21."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from rnnray.chorale.data.lines import Line, Note
from rnnray.chorale.data.metre import WHOLE, Metre, metre_of
from rnnray.chorale.data.repairs import Repairs
from rnnray.errors import UserError

_MAX_BYTES = 1 << 20  # a chorale has some thousand; music21 takes minutes for this limit


def read_kern(content: bytes, where: str) -> tuple[list[Line], Repairs, Metre]:
    """Return the notes of each spine, highest first, as they sound, no repairs, and the metre.

    Args:
        content: content of the file, UTF-8 or Latin-1.
        where: name of the file, for messages.

    Raises:
        UserError: the file is anything else.
    """
    from music21.humdrum import spineParser  # noqa: PLC0415  (seconds)

    if len(content) > _MAX_BYTES:
        raise UserError(f"{where}: larger than {_MAX_BYTES >> 20} MiB, too large for a chorale")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    try:
        collection: Any = spineParser.HumdrumDataCollection(text.splitlines())
        collection.parse()
        lines = [
            Line(number, _name(part) or f"spine {number + 1}", "", list(_notes(part)))
            for number, part in enumerate(collection.stream.parts)
        ]
        metre = _metre(next(iter(collection.stream.parts), None))
    # music21 raises all kinds of errors on damaged files.
    except Exception as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{where}: cannot be read as **kern ({words[:200]})") from error
    return lines, Repairs(), metre


def _name(part: Any) -> str:
    """Return the text of a spine's *I", which music21 keeps as an unknown word."""
    for token in part.recurse().getElementsByClass("MiscTandem"):
        _, quote, name = token.tandem.partition('"')
        if quote and name.strip():
            return str(name.strip())
    return ""


def _metre(part: Any) -> Metre:
    bars = [*part.getElementsByClass("Measure")] if part is not None else []
    signatures = [*part.recurse().getElementsByClass("TimeSignature")] if bars else []
    named = [(its.ratioString, Fraction(its.barDuration.quarterLength)) for its in signatures]
    first = Fraction(bars[0].highestTime) if len(bars) > 1 and named else WHOLE
    return metre_of(named, first if named and first < named[0][1] else Fraction())


def _notes(part: Any) -> Iterator[Note]:
    for note in part.recurse().notes:
        start = Fraction(note.getOffsetInHierarchy(part))
        end = start + Fraction(note.quarterLength)
        tied = note.tie is not None and note.tie.type in ("stop", "continue")
        for pitch in note.pitches:
            yield Note(round(pitch.ps), start, end, f"bar {note.measureNumber}", tied)
