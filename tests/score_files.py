"""Scores as small files: MIDI and MusicXML of a few notes; and random chorales to write."""

from pathlib import Path

import mido
import numpy as np
from hypothesis import strategies as st

QUARTER = 480
Notes = list[tuple[int, int, int]]  # pitch, start and end in ticks


def midi(
    path: Path, tracks: list[tuple[str, dict[int, Notes]]], kind: int = 1, quarter: int = QUARTER
) -> Path:
    """A MIDI file of tracks: a name, and notes by channel."""
    file = mido.MidiFile(type=kind, ticks_per_beat=quarter)
    for name, channels in tracks:
        track = file.add_track(name)
        events = [
            event
            for channel, notes in channels.items()
            for pitch, start, end in notes
            for event in ((start, 64, pitch, channel), (end, 0, pitch, channel))
        ]
        now = 0
        for time, velocity, pitch, channel in sorted(events):
            track.append(
                mido.Message(
                    "note_on", note=pitch, velocity=velocity, channel=channel, time=time - now
                )
            )
            now = time
    file.save(path)
    return path


def line(*pitches: int) -> Notes:
    """A note a quarter."""
    return [(p, i * QUARTER, (i + 1) * QUARTER) for i, p in enumerate(pitches)]


def note(pitch: str, duration: int, voice: int, staff: int = 1, chord: str = "") -> str:
    inner = "<rest/>"
    if pitch:
        inner = f"<pitch><step>{pitch[0]}</step><octave>{pitch[1]}</octave></pitch>"
    return (
        f"<note>{chord}{inner}<duration>{duration}</duration><voice>{voice}</voice>"
        f"<staff>{staff}</staff></note>"
    )


def musicxml(parts: dict[str, list[str]], attributes: str = "") -> str:
    """MusicXML of parts: a name, and the content of each measure; 4 divisions a quarter."""
    names = "".join(
        f'<score-part id="P{i}"><part-name>{name}</part-name></score-part>'
        for i, name in enumerate(parts)
    )
    body = "".join(
        f'<part id="P{i}">'
        + "".join(
            f'<measure number="{number}">'
            + (f"<attributes><divisions>4</divisions>{attributes}</attributes>" * (number == 1))
            + f"{content}</measure>"
            for number, content in enumerate(measures, 1)
        )
        + "</part>"
        for i, measures in enumerate(parts.values())
    )
    return (
        f'<?xml version="1.0"?><score-partwise version="4.0"><part-list>{names}</part-list>'
        f"{body}</score-partwise>"
    )


def save_musicxml(path: Path, parts: dict[str, list[str]], attributes: str = "") -> Path:
    path.write_text(musicxml(parts, attributes))
    return path


def staff(first: list[str], second: list[str], length: int, number: int) -> str:
    """One measure of two voices on a staff, as programs write it."""
    backup = f"<backup><duration>{length * len(first)}</duration></backup>"
    one, two = (4 * number - 3, 4 * number - 2)
    return (
        "".join(note(pitch, length, one, number) for pitch in first)
        + backup
        + "".join(note(pitch, length * len(first) // len(second), two, number) for pitch in second)
    )


_VOICES = st.lists(
    st.tuples(st.just(0) | st.integers(36, 81), st.integers(1, 20)), min_size=1, max_size=10
)


@st.composite
def chorales(draw: st.DrawFn) -> np.ndarray:
    """int16 [n, 4] of notes and silences of all lengths, n from 0 to 50."""
    length = draw(st.integers(0, 50))
    columns = [np.repeat(*np.array(draw(_VOICES)).T) for _ in range(4)]
    return np.stack([np.resize(column, length) for column in columns], 1).astype(np.int16)
