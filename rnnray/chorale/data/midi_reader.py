"""Notes of MIDI files.

The format: Standard MIDI Files 1.0 (RP-001), https://midi.org/standard-midi-files-specification.
Only events that affect notes are checked. Strict readers refuse a file for a key signature or a
controller with an impossible value, which changes no note.
"""

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from rnnray.chorale.data.lines import Line, Note
from rnnray.chorale.data.metre import Metre, metre_of
from rnnray.chorale.data.repairs import Repair, Repairs
from rnnray.errors import UserError

_PERCUSSION = 9  # the channel, counted from 0, whose notes are drums in General MIDI
_NOTE_OFF, _NOTE_ON, _PROGRAM, _PRESSURE = 0x8, 0x9, 0xC, 0xD
_META, _SYSEX, _SYSEX_ON = 0xFF, 0xF0, 0xF7
_TRACK_NAME, _TIME_SIGNATURE, _KEY_SIGNATURE = 0x03, 0x58, 0x59
# data bytes of system messages, which should not be in files
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}


class _Event(NamedTuple):
    tick: int
    status: int
    kind: int  # type of a meta event
    data: bytes


class _Key(NamedTuple):
    channel: int
    pitch: int


def read_midi(content: bytes, where: str) -> tuple[list[Line], Repairs, Metre]:
    """Return the notes of a MIDI file by track and channel, without drums, repairs, and metre.

    Args:
        content: content of the file.
        where: name of the file, for messages.

    Raises:
        UserError: no MIDI file, a damaged one (track and byte are named), or one without a beat.
    """
    try:
        kind, division, tracks = _chunks(content)
        if kind == 2 or not 0 < division < 0x8000:
            without = "of type 2" if kind == 2 else "timed in SMPTE frames"
            raise UserError(
                f"{where}: a MIDI file {without}, which has no common beat; save it as type 1"
            )
        lines: list[Line] = []
        repairs = Repairs()
        signatures: list[tuple[int, bytes]] = []
        for number, track in enumerate(tracks):
            try:
                events = list(_events(track))
                lines += _lines(number, events, division, repairs)
            except _DamagedError as error:
                raise _DamagedError(f"track {number}, {error}") from error
            signatures += [(its.tick, its.data) for its in events if its.status == _META
                           and its.kind == _TIME_SIGNATURE and _is_metre(its.data)]  # fmt: skip
    except _DamagedError as error:
        raise UserError(f"{where}: not a MIDI file, or a damaged one ({error})") from error
    return lines, repairs, _metre(sorted(signatures), division)


class _DamagedError(Exception):
    """The bytes are no MIDI file; the message says where."""


def _chunks(content: bytes) -> tuple[int, int, list[bytes]]:
    """Return type, ticks a quarter note, and the tracks' bytes."""
    if content[:4] != b"MThd" or len(content) < 14:
        raise _DamagedError("it does not begin with a MIDI header")
    size, kind, count, division = struct.unpack(">LHHH", content[4:14])
    position = 8 + size
    tracks: list[bytes] = []
    while position + 8 <= len(content) and len(tracks) < count:
        name = content[position : position + 4]
        (size,) = struct.unpack(">L", content[position + 4 : position + 8])
        position += 8
        if name == b"MTrk":  # other chunks belong to other programs
            if position + size > len(content):
                raise _DamagedError(
                    f"track {len(tracks)} should end at byte {position + size} "
                    f"of {len(content)}; the file is cut short"
                )
            tracks.append(content[position : position + size])
        position += size
    if len(tracks) < count:
        raise _DamagedError(f"{len(tracks)} of {count} tracks are there; the file is cut short")
    return kind, division, tracks


def _events(track: bytes) -> Iterator[_Event]:
    position = tick = status = 0
    while position < len(track):
        delta, position = _number(track, position)
        tick += delta
        kind, begin = 0, position
        if position < len(track) and track[position] >= 0x80:
            status = track[position]
            position += 1
        if status == 0:
            raise _DamagedError(f"byte {begin}: data that belong to no event")
        if status in (_META, _SYSEX, _SYSEX_ON):
            if status == _META:
                kind = track[position] if position < len(track) else 0
                position += 1
            size, position = _number(track, position)
        elif status > _SYSEX:
            size = _SYSTEM_BYTES.get(status, 0)
        else:
            size = 1 if status >> 4 in (_PROGRAM, _PRESSURE) else 2
        data = track[position : position + size]
        if len(data) < size:
            raise _DamagedError(f"byte {begin}: an event is incomplete")
        position += size
        yield _Event(tick, status, kind, data)


def _number(track: bytes, position: int) -> tuple[int, int]:
    """Return a number of variable length, and the position after it."""
    value = 0
    for byte in track[position : position + 4]:
        position += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position
    raise _DamagedError(f"byte {position}: a number is incomplete")


def _lines(number: int, events: list[_Event], division: int, repairs: Repairs) -> Iterator[Line]:
    names = [event.data for event in events if (event.status, event.kind) == (_META, _TRACK_NAME)]
    name = _text(names[0]).strip() if names else ""
    presses: dict[_Key, list[tuple[int, bool]]] = {}
    for event in events:
        if event.status == _META:
            repairs[Repair.BAD_EVENT] += event.kind == _KEY_SIGNATURE and not _is_key(event.data)
            continue
        if event.status >= _SYSEX:
            continue
        kind, channel = event.status >> 4, event.status & 0xF
        is_note = kind in (_NOTE_OFF, _NOTE_ON)
        if max(event.data) >= 0x80:
            repairs[Repair.BAD_EVENT] += 1
            if not is_note or event.data[0] >= 0x80:
                continue
        if is_note and channel != _PERCUSSION:
            on = kind == _NOTE_ON and event.data[1] > 0
            presses.setdefault(_Key(channel, event.data[0]), []).append((event.tick, on))
    last = events[-1].tick if events else 0
    channels = sorted({key.channel for key in presses})
    for channel in channels:
        of_channel = {key.pitch: its for key, its in presses.items() if key.channel == channel}
        notes, fault = _notes(of_channel, last, division, repairs)
        yield Line(
            number,
            name or f"track {number}",
            f"channel {channel + 1}" if len(channels) > 1 else "",
            notes,
            played=True,
            fault=fault,
        )


def _notes(
    presses: dict[int, list[tuple[int, bool]]], last: int, division: int, repairs: Repairs
) -> tuple[list[Note], str]:
    """Return the notes of a channel, and their fault, if any.

    A note without an end lasts until the same pitch begins again, or to the end if nothing follows.
    If another note follows, its length is unknown.
    """
    begins = sorted({tick for its in presses.values() for tick, on in its if on})
    spans: list[tuple[int, int, int]] = []
    fault = ""
    for pitch, its in presses.items():
        pairs, open_ended = _pairs(its)
        for tick in open_ended:
            after = next((begin for begin in begins if begin > tick), None)
            if after is None:
                pairs.append((tick, last))
            elif (after, True) in its:
                pairs.append((tick, after))
                repairs[Repair.OVERLAP] += 1
            else:
                fault = fault or f"{_where(tick, division)}: a note without an end (pitch {pitch})"
        spans += [(start, end, pitch) for start, end in pairs]
    return [
        Note(pitch, Fraction(start, division), Fraction(end, division), _where(start, division))
        for start, end, pitch in sorted(spans)
    ], fault


def _pairs(presses: list[tuple[int, bool]]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return begin and end of each note of one pitch, and the begins of notes that never end.

    An end belongs to the oldest note: two voices may meet in one pitch, or a note may begin again
    in the very tick in which it ends. If an end is missing, ends belong to the newest notes
    instead, so that the note without an end is left over.
    """
    for newest in (False, True):
        pairs: list[tuple[int, int]] = []
        begun: list[int] = []
        for tick, on in presses:
            if on:
                begun.append(tick)
            elif begun:
                earlier = [index for index, begin in enumerate(begun) if begin < tick]
                index = earlier[-1] if newest and earlier else 0
                pairs.append((begun.pop(index), tick))
        if not begun:
            break
    return pairs, begun


def _where(tick: int, division: int) -> str:
    return f"quarter note {tick / division:g} from the beginning"


def _is_key(data: bytes) -> bool:
    """Return whether data are a key signature: up to seven flats or sharps, major or minor."""
    return len(data) == 2 and (data[0] <= 7 or data[0] >= 0x100 - 7) and data[1] <= 1


def _is_metre(data: bytes) -> bool:
    return len(data) == 4 and data[0] > 0 and data[1] <= 6  # down to 64th notes


def _metre(signatures: list[tuple[int, bytes]], division: int) -> Metre:
    """Return the metre; a short first bar of a metre of its own is an upbeat."""
    bars = [(tick, f"{data[0]}/{1 << data[1]}", Fraction(4 * data[0], 1 << data[1]))
            for tick, data in signatures]  # fmt: skip
    upbeat = Fraction()
    if len(bars) > 1 and bars[0][0] == 0:
        first = Fraction(bars[1][0], division)
        if 0 < first == bars[0][2] < bars[1][2]:
            upbeat = first
            del bars[0]
    return metre_of(((name, length) for _, name, length in bars), upbeat)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
