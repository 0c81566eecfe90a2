"""Voices from MIDI, MusicXML, Humdrum and CSV files.

MIDI after the Standard MIDI File 1.0 specification, read by mido; MusicXML 4.0, plain or
compressed, read by music21. Pitches are as they sound and are never transposed otherwise; repeats
are not expanded, fermatas are ignored, a pickup stays where it is.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import PITCHES, VOICE_COUNT, Chords
from rnnray.chorale.csv_file import read_csv
from rnnray.chorale.humdrum import read_kern
from rnnray.chorale.repairs import Repair, Repairs
from rnnray.chorale.table import out_of_range
from rnnray.errors import UserError

MIDI_SUFFIXES = (".mid", ".midi")
MUSICXML_SUFFIXES = (".musicxml", ".xml", ".mxl")
KERN_SUFFIXES = (".krn", ".kern")
SUFFIXES = (".csv", *MIDI_SUFFIXES, *MUSICXML_SUFFIXES, *KERN_SUFFIXES)

_MAX_BYTES = 64 << 20  # unpacked; a score for a whole orchestra has some megabytes
_MAX_STEPS = 1 << 16  # over an hour of music; a damaged MIDI file can ask for years
_PERCUSSION = 9  # the channel, counted from 0, whose notes are drums in General MIDI
_LABELS = (
    ("s", "sopran", "soprano"),
    ("a", "alt", "alto"),
    ("t", "tenor", "tenore"),
    ("b", "bass", "basso"),
)


class Note(NamedTuple):
    """A note of a score."""

    pitch: int  # MIDI
    start: Fraction  # in quarter notes from the beginning
    end: Fraction
    place: str  # for messages


class Score(NamedTuple):
    """What was read from a file."""

    voices: npt.NDArray[np.int16]  # [n, v], as `read_voices` gives them
    repairs: Repairs  # what was changed on the way


def read_voices(path: str | Path, pitches: range = PITCHES) -> npt.NDArray[np.int16]:
    """The voices of a MIDI, MusicXML, Humdrum or CSV file, on the grid of sixteenth notes.

    A voice is a part, a voice of a part (a staff that two voices share), a track or a channel. One
    of these that always sounds the same number of notes at once is as many voices. Labels soprano,
    alto, tenor and bass order the voices, otherwise the mean pitch does. Beginnings and ends of
    notes move to the nearest sixteenth; notes that this leaves without length are dropped.

    Args:
        path: a local file, told by its suffix (`SUFFIXES`).
        pitches: those that there may be, 36 to 81 by default.

    Returns:
        int16 [n, v], one to four voices, highest first; MIDI pitch, 0 = silence.

    Raises:
        UserError: not such a file, no notes, more than four voices, notes that overlap within a
            voice, or a pitch out of range (measure or time is named).
    """
    return read_score(Path(path), pitches).voices


def read_score(path: Path, pitches: range = PITCHES) -> Score:
    """As `read_voices`, with the number of changes of each kind."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: not a file that voices are read from ({', '.join(SUFFIXES)})")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content:
        raise UserError(f"{path}: the file is empty")
    if max(len(content), _unpacked(content)) > _MAX_BYTES:
        raise UserError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, as no score is")
    if suffix == ".csv":
        return Score(read_csv(content, str(path), any_voices=True, pitches=pitches), Repairs())
    if suffix in MIDI_SUFFIXES:
        groups = _midi_groups(path)
    elif suffix in KERN_SUFFIXES:
        groups = _kern_groups(content, str(path))
    else:
        groups = music21_groups(music21_parts(path))
    return on_grid(groups, str(path), pitches)


def _unpacked(content: bytes) -> int:
    """Bytes that a zip archive (.mxl) says that it holds; more of them are never read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return 0  # no archive, or a damaged one, of which its reader tells


def in_four_voices(voices: npt.NDArray[np.int16], where: str) -> Chords:
    """The voices themselves, if they are four: chords, int16 [n, 4]; else a `UserError`."""
    if voices.shape[1] != VOICE_COUNT:
        raise UserError(f"{where}: has {voices.shape[1]} voices, a chorale has {VOICE_COUNT}")
    return voices


def _kern_groups(content: bytes, where: str) -> dict[str, list[Note]]:
    """The notes of a Humdrum file by spine, with a name for each."""
    spines = read_kern(content, where)
    names = [name for name, _ in spines]
    return {
        name if names.count(name) == 1 else f"{name} {number}": [Note(*note) for note in notes]
        for number, (name, notes) in enumerate(spines, 1)
    }


def _midi_groups(path: Path) -> dict[str, list[Note]]:
    """The notes of a MIDI file by track and channel, with a name for each; drums are left out."""
    try:
        file = mido.MidiFile(path)
    # What mido raises on damaged files is anything from EOFError to IndexError.
    except Exception as error:
        raise UserError(f"{path}: not a MIDI file, or a damaged one ({_words(error)})") from error
    if file.type == 2 or file.ticks_per_beat <= 0:
        kind = "of type 2" if file.type == 2 else "timed in SMPTE frames"
        raise UserError(f"{path}: a MIDI file {kind}, which has no common beat; save it as type 1")
    groups: dict[str, list[Note]] = {}
    for number, track in enumerate(file.tracks):
        channels = _track_notes(track, file.ticks_per_beat)
        for channel, notes in channels.items():
            name = track.name.strip() or f"track {number}"
            if len(channels) > 1:
                name = f"{name}, channel {channel + 1}"
            while name in groups:
                name += "'"  # two tracks of one name
            groups[name] = notes
    return groups


def _track_notes(track: Iterable[Any], ticks_per_beat: int) -> dict[int, list[Note]]:
    channels: dict[int, list[Note]] = {}
    sounding: dict[tuple[int, int], list[int]] = {}
    now = 0

    def end(channel: int, pitch: int) -> None:
        # The oldest of the equal notes: two voices may meet in one, or a note may be struck again
        # in the very tick in which it ends.
        start = Fraction(sounding[channel, pitch].pop(0), ticks_per_beat)
        place = f"quarter note {float(start):g} from the beginning"
        note = Note(pitch, start, Fraction(now, ticks_per_beat), place)
        channels.setdefault(channel, []).append(note)

    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == _PERCUSSION:
            continue
        key = (message.channel, message.note)
        if message.type == "note_on" and message.velocity > 0:
            sounding.setdefault(key, []).append(now)
        elif sounding.get(key):
            end(*key)
    for key, starts in sounding.items():
        while starts:
            end(*key)
    return channels


def music21_parts(path: Path) -> list[Any]:
    """The parts of a MusicXML file, as music21 objects.

    Raises:
        UserError: the file is anything else.
    """
    from music21 import converter  # noqa: PLC0415  (seconds)

    try:
        reader = converter.Converter()
        with warnings.catch_warnings(action="ignore"):  # of what goes wrong, the error tells
            # No pickle: music21 would otherwise keep and load one in the temporary folder.
            reader.parseFileNoPickle(path, format="musicxml", forceSource=True)
        score: Any = reader.stream
        return list(score.parts)
    # What music21 raises on damaged files is anything, from zipfile, from XML, from itself.
    except Exception as error:
        raise UserError(f"{path}: not MusicXML that can be read ({_words(error)})") from error


def music21_groups(parts: Sequence[Any]) -> dict[str, list[Note]]:
    """The notes of music21 parts, by part and by voice within it, with a name for each."""
    groups: dict[str, list[Note]] = {}
    for number, part in enumerate(parts):
        part_name = (part.partName or "").strip() or f"part {number + 1}"
        names = [part_name, f"{part_name} of part {number + 1}"]
        name = names[any(key.split(", voice ")[0] == part_name for key in groups)]
        sounding = part if part.atSoundingPitch is True else part.toSoundingPitch()
        measures = list(sounding.getElementsByClass("Measure"))
        ids = sorted({str(voice.id) for measure in measures for voice in measure.voices})
        voices: dict[str, list[Note]] = {key: [] for key in ids or ["1"]}
        for measure in measures:
            # A measure of a single voice holds its notes itself: they are the first voice's.
            for voice in (measure, *measure.voices):
                key = next(iter(voices)) if voice is measure else str(voice.id)
                offset = measure.offset + (0 if voice is measure else voice.offset)
                voices[key] += _music21_notes(voice, offset, f"measure {measure.number}")
        voices = {key: notes for key, notes in voices.items() if notes}
        for index, notes in enumerate(voices.values()):
            groups[f"{name}, voice {index + 1}" if len(voices) > 1 else name] = notes
    return groups


def _music21_notes(container: Any, offset: Any, place: str) -> Iterable[Note]:
    for element in container.notes:
        if "Harmony" in element.classes:  # a chord symbol above the staff
            continue
        start = Fraction(offset + element.offset)
        end = start + Fraction(element.quarterLength)
        for pitch in element.pitches:  # of a note or of a chord; percussion has none
            yield Note(round(pitch.ps), start, end, place)


def on_grid(groups: dict[str, list[Note]], where: str, pitches: range = PITCHES) -> Score:
    """Notes to voices.

    Args:
        groups: the notes of each part, track or the like.
        where: the file, for messages.
        pitches: as in `read_voices`.

    Raises:
        UserError: as in `read_voices`.
    """
    columns: list[tuple[str, npt.NDArray[np.int16]]] = []
    rounded = {
        name: [(_step(note.start), _step(note.end), note) for note in notes]
        for name, notes in groups.items()
    }
    kept = {name: [item for item in items if item[0] < item[1]] for name, items in rounded.items()}
    kept = {name: items for name, items in kept.items() if items}
    vanished = sum(map(len, rounded.values())) - sum(map(len, kept.values()))
    if not kept:
        raise UserError(f"{where}: has no notes" + (", only too short ones" if vanished else ""))
    length = max(stop for items in kept.values() for _, stop, _ in items)
    if length > _MAX_STEPS:
        raise UserError(f"{where}: lasts {length} sixteenth notes; at most {_MAX_STEPS} are read")
    for name, items in kept.items():
        columns += _columns(name, items, length, where, pitches)
    if len(columns) > VOICE_COUNT:
        names = ", ".join(kept)
        raise UserError(
            f"{where}: has {len(columns)} voices ({names}); remove all but {VOICE_COUNT} or fewer"
        )
    labels = [label_of(name) for name, _ in columns]
    if None not in labels and len(set(labels)) == len(labels):
        columns.sort(key=lambda column: label_of(column[0]) or 0)
    else:
        columns.sort(key=lambda column: -column[1][column[1] > 0].mean())
    return Score(
        np.stack([column for _, column in columns], axis=1),
        Repairs({Repair.TOO_SHORT: vanished}),
    )


def _columns(
    name: str, items: list[tuple[int, int, Note]], length: int, where: str, pitches: range
) -> list[tuple[str, npt.NDArray[np.int16]]]:
    """The one voice of a group, or the several ones of a group that always has as many notes."""
    at_once: list[list[int]] = [[] for _ in range(length)]
    for start, stop, note in items:
        if note.pitch not in pitches:
            raise UserError(f"{where}, {name}, {note.place}: {out_of_range(note.pitch, pitches)}")
        for step in range(start, stop):
            at_once[step].append(note.pitch)
    counts = np.array([len(sounding) for sounding in at_once])
    count = int(np.bincount(counts[counts > 0]).argmax())
    uneven = np.flatnonzero((counts > 0) & (counts != count))
    if len(uneven):
        begun = [item for item in items if item[0] <= uneven[0]]
        place = max(begun, key=lambda item: item[0])[2].place
        raise UserError(
            f"{where}, {name}, {place}: {counts[uneven[0]]} notes at once, elsewhere {count}; "
            "notes overlap in a voice, or voices need parts or tracks of their own"
        )
    grid = np.zeros((length, count), np.int16)
    for step, sounding in enumerate(at_once):
        if sounding:
            grid[step] = sorted(sounding, reverse=True)
    return [(name, grid[:, voice]) for voice in range(count)]


def _step(quarters: Fraction) -> int:
    """The nearest sixteenth; what lies in the middle goes up."""
    return int((quarters * 8 + 1) // 2)


def label_of(name: str) -> int | None:
    """0 to 3 for the name of a part that begins with soprano, alto, tenor or bass, else None."""
    word = (re.findall(r"[^\W\d]+", name.lower()) or [""])[0]
    return next((voice for voice, words in enumerate(_LABELS) if word in words), None)


def _words(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
