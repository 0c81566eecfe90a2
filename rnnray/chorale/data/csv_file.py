"""Chords as CSV: a header `note0,note1,note2,note3`, then one line a sixteenth note.

The form of the JSB chorales at https://github.com/ageron/data; with fewer voices there are fewer
columns.
"""

import csv
import re

import numpy as np

from rnnray.chorale.chords import PITCHES, VOICE_COUNT, Chords
from rnnray.chorale.data.chorale_table import out_of_range
from rnnray.errors import UserError


def read_csv(
    content: bytes, where: str, *, any_voices: bool = False, pitches: range = PITCHES
) -> Chords:
    """Return the chords in a CSV: int16 [n, 4], MIDI pitches and 0 for silence.

    Args:
        content: content of the file; UTF-8, with or without a byte-order mark.
        where: name of the file, for messages.
        any_voices: accept one to four voices (note0 is the highest); the result is int16 [n, v].
        pitches: accepted pitches, 36 to 81 by default.

    Raises:
        UserError: the file is anything else (line and column are named).
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 text (byte {error.start}), so not CSV") from error
    if not text.strip():
        raise UserError(f"{where}: the file is empty; a chorale begins with {_header(VOICE_COUNT)}")
    # Editors leave blank lines at the end; elsewhere they are a mistake.
    lines = csv.reader(text.rstrip().splitlines(), skipinitialspace=True)
    rows: list[tuple[int, ...]] = []
    known = {str(pitch): pitch for pitch in (0, *pitches)}
    try:
        header = [name.strip() for name in next(lines)]
        voices = len(header) if any_voices and 1 <= len(header) <= VOICE_COUNT else VOICE_COUNT
        if ",".join(header) != _header(voices):
            raise UserError(
                f"{where}, line 1: the header is {_short(','.join(header))}, not {_header(voices)}"
            )
        for line in lines:
            row = tuple(known.get(value.strip(), -1) for value in line)
            if len(row) != voices or -1 in row:
                wrong = _what_is_wrong(line, voices, pitches)
                raise UserError(f"{where}, line {lines.line_num}{wrong}")
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"{where}, line {lines.line_num}: not CSV ({error})") from error
    if not rows:
        raise UserError(f"{where}: has a header but no chords")
    return np.array(rows, np.int16)


def _header(voices: int) -> str:
    return ",".join(f"note{voice}" for voice in range(voices))


def _what_is_wrong(line: list[str], voices: int, pitches: range) -> str:
    if len(line) != voices:
        return f": has {len(line)} values, not {voices} (one for each voice)"
    known = {str(pitch) for pitch in (0, *pitches)}
    voice = next(voice for voice, value in enumerate(line) if value.strip() not in known)
    value = line[voice].strip()
    if not value:
        return f", note{voice}: is missing; write 0 for a silent voice"
    if re.fullmatch(r"-?[1-9][0-9]{0,8}", value):
        return f", note{voice}: {out_of_range(int(value), pitches)}"
    return f", note{voice}: {_short(value)} is not a pitch as a whole number"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
