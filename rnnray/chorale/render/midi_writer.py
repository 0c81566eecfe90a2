"""Chorales as MIDI files.

The format: Standard MIDI Files 1.0 (RP-001), https://midi.org/standard-midi-files-specification.
"""

import io
from itertools import pairwise

import mido
import numpy as np
from numpy.typing import NDArray

from rnnray.chorale.composing_options import FASTEST, SLOWEST
from rnnray.errors import UserError

PART_NAMES = ("Soprano", "Alto", "Tenor", "Bass")
TICKS_PER_QUARTER = 480
TICKS_PER_CHORD = TICKS_PER_QUARTER // 4  # a chord lasts a sixteenth
CHOIR_AAHS = 52  # General MIDI's number, from 0: a sound that sustains, as held notes must
VELOCITY = 80


def midi_bytes(
    chords: NDArray[np.integer],
    *,
    tempo: float = 80.0,
    title: str | None = None,
    onsets: NDArray[np.bool_] | None = None,
) -> bytes:
    """Return a chorale as a MIDI file of format 1, the same bytes for the same arguments.

    The first track has title, tempo and metre; each voice follows as a track, on a channel of its
    own. Equal pitches in a row are one held note, unless onsets say otherwise. Every track is as
    long as the chords, even if they end in silence.

    Args:
        chords: int [n, 4]: soprano, alto, tenor, bass, a row a sixteenth; MIDI pitch from 1 to 127,
            0 = silence.
        tempo: quarters a minute.
        title: title of the chorale.
        onsets: bool [n, 4], see `rnnray.chorale.chords.Onsets`.

    Raises:
        ValueError: chords are not such an array.
        UserError: a MIDI file cannot hold the tempo.
    """
    voices = held_notes(chords, onsets)
    check_tempo(tempo)
    # Titles may have characters outside Latin-1, mido's default.
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_QUARTER, charset="utf-8")
    first = file.add_track()
    if title is not None:
        first.append(mido.MetaMessage("track_name", name=title_text(title)))
    first.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)))
    first.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    first.append(mido.MetaMessage("end_of_track", time=len(chords) * TICKS_PER_CHORD))
    for channel, (name, notes) in enumerate(zip(PART_NAMES, voices, strict=True)):
        track = file.add_track()
        track.append(mido.MetaMessage("track_name", name=name))
        track.append(mido.Message("program_change", channel=channel, program=CHOIR_AAHS))
        silence = 0  # ticks since the last note
        for pitch, length in notes:
            ticks = length * TICKS_PER_CHORD
            if pitch == 0:
                silence += ticks
                continue
            note = {"channel": channel, "note": pitch}
            track.append(mido.Message("note_on", **note, velocity=VELOCITY, time=silence))
            track.append(mido.Message("note_off", **note, velocity=0, time=ticks))
            silence = 0
        track.append(mido.MetaMessage("end_of_track", time=silence))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def held_notes(
    chords: NDArray[np.integer], onsets: NDArray[np.bool_] | None = None
) -> list[list[tuple[int, int]]]:
    """Return the notes and rests of each voice: (MIDI pitch or 0 = rest, length in sixteenths).

    `chords` is int [n, 4], pitches 0 to 127; equal pitches in a row are one held note, unless
    `onsets`, bool [n, 4], says that another begins.

    Raises:
        ValueError: another shape, type or pitch.
    """
    if chords.ndim != 2 or chords.shape[1] != len(PART_NAMES) or chords.dtype.kind not in "iu":
        raise ValueError(f"chords are int [n, 4], not {chords.dtype} {list(chords.shape)}")
    if len(chords) == 0:
        return [[] for _ in PART_NAMES]
    if chords.min() < 0 or chords.max() > 127:
        raise ValueError(f"pitches {chords.min()} to {chords.max()}: MIDI has 0 to 127")
    voices = []
    begun = np.diff(chords, axis=0) != 0
    if onsets is not None:
        begun |= onsets[1:] & (chords[1:] > 0)
    for column, begins in zip(chords.T, begun.T, strict=True):
        starts = [0, *(np.flatnonzero(begins) + 1).tolist(), len(column)]
        voices.append([(int(column[start]), end - start) for start, end in pairwise(starts)])
    return voices


def check_tempo(tempo: float) -> None:
    """Raise `UserError` unless MIDI and MusicXML can both express `tempo`."""
    if not SLOWEST <= tempo <= FASTEST:  # also true for NaN
        raise UserError(
            f"tempo {tempo:g}: it must be quarter notes a minute, from {SLOWEST:g} to {FASTEST:g}"
        )


def title_text(title: str) -> str:
    """Return a title without characters that XML forbids or UTF-8 cannot encode.

    The name of a file may have either.
    """
    return "".join(character if character.isprintable() else " " for character in title)
