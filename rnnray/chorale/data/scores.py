"""Voices from MIDI, MusicXML, Humdrum and CSV files.

Pitches are as they sound, and are not transposed further. Repeats are not expanded, fermatas are
ignored. Metre and upbeat are told, and change no voice.
"""

import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import PITCHES, VOICE_COUNT, Chords
from rnnray.chorale.data.articulation import articulation
from rnnray.chorale.data.choir import Choice, four_voices, voices_named
from rnnray.chorale.data.csv_file import read_csv
from rnnray.chorale.data.grid import Voices, on_grid, without_divisions
from rnnray.chorale.data.humdrum import read_kern
from rnnray.chorale.data.lines import Line
from rnnray.chorale.data.metre import Metre
from rnnray.chorale.data.midi_reader import read_midi
from rnnray.chorale.data.musicxml_reader import read_musicxml
from rnnray.chorale.data.repairs import Repair, Repairs
from rnnray.errors import UserError

MIDI_SUFFIXES = (".mid", ".midi")
MUSICXML_SUFFIXES = (".musicxml", ".xml", ".mxl")
KERN_SUFFIXES = (".krn", ".kern")
SUFFIXES = (".csv", *MIDI_SUFFIXES, *MUSICXML_SUFFIXES, *KERN_SUFFIXES)

_READERS = {
    **dict.fromkeys(MIDI_SUFFIXES, read_midi),
    **dict.fromkeys(MUSICXML_SUFFIXES, read_musicxml),
    **dict.fromkeys(KERN_SUFFIXES, read_kern),
}
_Kind = TypeVar("_Kind", np.int16, np.bool_)
_MAX_BYTES = 64 << 20  # unpacked; a score for an orchestra has some megabytes


class Score(NamedTuple):
    """The voices and repairs of a file."""

    voices: npt.NDArray[np.int16]  # [n, v], see `read_voices`
    repairs: Repairs  # number of repairs of each kind
    onsets: npt.NDArray[np.bool_]  # [n, v], where notes begin; all false if the format has none
    metre: Metre = Metre()


def read_voices(path: str | Path, pitches: range = PITCHES) -> npt.NDArray[np.int16]:
    """Return the voices of a MIDI, MusicXML, Humdrum or CSV file, on the grid of sixteenth notes.

    A voice is a part, a voice of a part (a staff that two voices share), a track or a channel. If
    one of these mostly sounds the same number of notes at once, it has that number of voices. Of
    more than four voices, soprano, alto, tenor and bass are chosen by name or by range
    (`choir.four_voices`). Names of soprano, alto, tenor and bass order the voices, otherwise the
    mean pitch does. Beginnings and ends of notes move to the nearest sixteenth; small faults are
    repaired (`repairs.Repair`).

    Args:
        path: a local file, whose suffix (`SUFFIXES`) decides its format.
        pitches: accepted pitches, 36 to 81 by default.

    Returns:
        int16 [n, v], one to four voices, highest first; MIDI pitch, 0 = silence.

    Raises:
        UserError: not a score in one of these formats, no notes, more than four voices, notes that
            overlap within a voice, or a pitch out of range (voice and bar or time are named).
    """
    return read_score(Path(path), pitches).voices


def read_score(path: Path, pitches: range = PITCHES) -> Score:
    """Return the result of `read_voices`, with repairs, onsets and metre."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: not a file of voices in a known format ({', '.join(SUFFIXES)})")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content:
        raise UserError(f"{path}: the file is empty")
    if max(len(content), _unpacked(content)) > _MAX_BYTES:
        raise UserError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, too large for a score")
    if suffix == ".csv":
        voices = read_csv(content, str(path), any_voices=True, pitches=pitches)
        return Score(voices, Repairs(), np.zeros(voices.shape, bool))
    lines, repairs, metre = _READERS[suffix](content, str(path))
    return _score(lines, repairs, str(path), pitches)._replace(metre=metre)


def _unpacked(content: bytes) -> int:
    """Return the size that a zip archive (.mxl) declares; never more of it is read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return 0  # no archive, or a damaged one, which its reader reports


def in_four_voices(voices: npt.NDArray[np.int16], where: str) -> Chords:
    """Return the voices themselves if they are four, as chords int16 [n, 4].

    Raises:
        UserError: they are not four.
    """
    if voices.shape[1] != VOICE_COUNT:
        count = "1 voice" if voices.shape[1] == 1 else f"{voices.shape[1]} voices"
        raise UserError(f"{where}: has {count}; a chorale has {VOICE_COUNT}")
    return voices


def _score(lines: list[Line], repairs: Repairs, where: str, pitches: range) -> Score:
    voices = _on_grid(lines, pitches)
    if sum(max(1, len(its.columns)) for its in voices) > VOICE_COUNT:
        voices = _on_grid(without_divisions(lines), pitches)
    if not voices:
        short = any(line.notes for line in lines)
        raise UserError(f"{where}: has no notes" + (", only too short ones" if short else ""))
    chosen = four_voices(voices)
    if chosen is None:
        names = ", ".join(its.line.name for its in voices)
        count = sum(max(1, len(its.columns)) for its in voices)
        raise UserError(
            f"{where}: has {count} voices ({names}); name {VOICE_COUNT} of them soprano, alto, "
            "tenor and bass, or remove the others"
        )
    taken = {id(its): its for its, _ in chosen}.values()
    for its in taken:
        if its.fault:
            raise UserError(f"{where}, {its.line.name}, {its.fault}")
        repairs = repairs + its.repairs
    parts = {its.line.part for its in voices} - {its.line.part for its in taken}
    repairs[Repair.LEFT_OUT] += len(parts)
    repairs += _second_columns(voices, chosen)
    columns = [column for _, column in chosen if column is not None]
    return Score(_together(columns), +repairs, _together([*map(_onsets_of, chosen)]))


def _second_columns(voices: list[Voices], chosen: list[Choice]) -> Repairs:
    """Return the repairs of voices that are doubled or divided from beginning to end."""
    repairs = Repairs()
    sung = [column for _, column in chosen if column is not None]
    of_part = Counter(its.line.part for its, _ in chosen)
    for its in voices:
        for column, onsets in zip(its.columns, its.onsets, strict=True):
            if of_part[its.line.part] == 1 and not any(column is one for one in sung):
                if any(np.array_equal(column, one) for one in sung):
                    repairs[Repair.DOUBLED] += 1
                else:
                    repairs[Repair.DIVIDED] += int(onsets.sum())
    return repairs


def _on_grid(lines: list[Line], pitches: range) -> list[Voices]:
    """Return the lines that have notes, on the grid."""
    lowest = _lowest(lines)
    played = articulation(lines)
    voices = [on_grid(line, played, lowest=line is lowest, pitches=pitches) for line in lines]
    return [its for its in voices if its.columns or its.fault]


def _lowest(lines: list[Line]) -> Line | None:
    """Return the bass by its name, or, of several lines, the one with the lowest mean pitch."""
    basses = [line for line in lines if voices_named(line.part_name) == (VOICE_COUNT - 1,)]
    with_notes = [line for line in lines if line.notes]
    return min(
        basses or with_notes * (len(with_notes) > 1),
        key=lambda line: sum(note.pitch for note in line.notes) / max(1, len(line.notes)),
        default=None,
    )


def _onsets_of(choice: Choice) -> npt.NDArray[np.bool_]:
    its, column = choice
    return next(on for on, one in zip(its.onsets, its.columns, strict=True) if one is column)


def _together(columns: list[npt.NDArray[_Kind]]) -> npt.NDArray[_Kind]:
    """Join columns to [n, v], all as long as the longest."""
    voices = np.zeros((max(map(len, columns)), len(columns)), columns[0].dtype)
    for voice, column in enumerate(columns):
        voices[: len(column), voice] = column
    return voices
