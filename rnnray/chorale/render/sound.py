"""Chords as samples of sound: an organ, a choir, or the book's sine waves."""

import math
from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import HIGHEST_PITCH, LOWEST_PITCH
from rnnray.chorale.composing_options import InstrumentName
from rnnray.chorale.render.instruments import INSTRUMENTS, Instrument, frequency, steady_tone
from rnnray.chorale.render.midi_writer import held_notes
from rnnray.chorale.render.reverb import add_reverb
from rnnray.errors import UserError

Samples = npt.NDArray[np.float32]

TAIL_SECONDS = 2.0
"""Time for which a piece sounds after its last chord."""

PEAK = 10 ** (-1 / 20)
"""Largest sample of a piece: 1 dB below full scale, since converters overshoot between samples."""

_LONGEST_SECONDS = 3600.0

# Positions of soprano, alto, tenor and bass; -1 is the left speaker, 1 the right one.
_PANS = (-0.5, -0.2, 0.2, 0.5)

# The melody is a little louder; the voices are equally loud to the ear otherwise.
_LEVELS = (1.2, 1.0, 1.0, 1.0)

_ROOM_LEVEL = 0.3

_BREATH_SECONDS = 0.06  # silence before a pitch is struck again

_BLOCK = 1 << 14  # samples mixed at a time, so that intermediate results stay in the cache

# Samples of cached tones: the shortest one is longer than any attack.
_SHORTEST_TONE, _LONGEST_TONE = 1 << 15, 1 << 18


class _Note(NamedTuple):
    voice: int
    pitch: int
    start: int  # the first sample
    stop: int  # the first sample after the note


def synthesize(
    chords: npt.NDArray[np.integer],
    *,
    tempo: float = 80.0,
    onsets: npt.NDArray[np.bool_] | None = None,
    instrument: InstrumentName = "organ",
    sample_rate: int = 44100,
) -> Samples:
    """Return the sound of chords; the same arguments give the same samples.

    Equal pitches in a row of one voice are one held note. `organ` and `choir` are sums of harmonics
    in a room, the four voices from left to right. `sine` is the plain sine of A. Géron, Hands-On
    Machine Learning (3rd edition), chapter 15, the same in both channels. Its frequencies are
    rounded so that a note ends at a zero crossing, which makes a short bass note up to a third of a
    semitone impure. (The book rounds to whole periods within each chord; here it is half periods
    within a whole note, which is nearer to the pitch.)

    Args:
        chords: integers [n, 4], soprano to bass: MIDI pitches 36 to 81, 0 = silence; a row is a
            sixteenth note.
        tempo: quarter notes a minute, > 0.
        onsets: bool [n, 4], see `rnnray.chorale.chords.Onsets`; a note ends a little before its
            pitch is struck again.
        instrument: organ, choir or sine.
        sample_rate: samples a second, at least 8,000.

    Returns:
        float32 [samples, 2], left and right, largest magnitude `PEAK` (0 when all is silence). It
        lasts n * 15 / tempo seconds and `TAIL_SECONDS` more; no chords give no samples.

    Raises:
        UserError: a tempo that is not finite or not above 0, or that makes the piece longer than an
            hour.
        ValueError: chords of another shape, type or range, an unknown instrument, a sample rate
            that is too low.
    """
    voices = held_notes(chords, onsets)
    _check(chords, tempo, instrument, sample_rate)
    if len(chords) == 0:
        return np.zeros((0, 2), np.float32)
    # Times are rounded once, not added up, so that a long piece does not drift.
    times = np.rint(np.arange(len(chords) + 1) * (15 / tempo) * sample_rate).astype(np.int64)
    notes = _timed(voices, times, round(_BREATH_SECONDS * sample_rate))
    count = int(times[-1]) + round(TAIL_SECONDS * sample_rate)
    if instrument == "sine":
        mix = _sines(notes, int(times[-1]), count, sample_rate)
    else:
        mix = _voices(notes, INSTRUMENTS[instrument], count, sample_rate)
    peak = max(float(mix.max()), -float(mix.min()))
    if peak > 0:
        mix *= np.float32(PEAK / peak)
    return np.ascontiguousarray(mix.T)


def check_length(chords: int, tempo: float) -> None:
    """Raise `UserError` if `chords` chords last more than an hour at `tempo` quarters a minute.

    The samples of a piece are held in memory, and a tempo of 0.01 would need all of it.
    """
    if chords * (15 / tempo) > _LONGEST_SECONDS:
        raise UserError(
            f"at a tempo of {tempo:g} quarter notes a minute {chords} chords last more than an "
            f"hour: ask for fewer chords, or for a tempo above {chords * 15 / _LONGEST_SECONDS:g}"
        )


def _check(
    chords: npt.NDArray[np.integer], tempo: float, instrument: str, sample_rate: int
) -> None:
    if np.any((chords != 0) & ((chords < LOWEST_PITCH) | (chords > HIGHEST_PITCH))):
        raise ValueError(
            f"a pitch of a chord is neither 0 nor from {LOWEST_PITCH} to {HIGHEST_PITCH}"
        )
    if instrument not in get_args(InstrumentName):
        raise ValueError(f"the instrument is organ, choir or sine, not {instrument!r}")
    if sample_rate < 8000:
        raise ValueError(f"the sample rate is at least 8000 a second, not {sample_rate}")
    if not (math.isfinite(tempo) and tempo > 0):
        raise UserError(
            f"the tempo is {tempo}: it must be a finite number of quarter notes a minute above 0"
        )
    check_length(len(chords), tempo)


def _timed(
    voices: list[list[tuple[int, int]]], times: npt.NDArray[np.int64], breath: int
) -> list[_Note]:
    """Return `held_notes` with times in samples; `times` has each row's start and the last end."""
    notes = []
    for voice, line in enumerate(voices):
        row = 0
        for index, (pitch, length) in enumerate(line):
            start, stop = int(times[row]), int(times[row + length])
            if pitch and line[index + 1 : index + 2] and line[index + 1][0] == pitch:
                stop -= min(breath, (stop - start) // 4)
            if pitch:
                notes.append(_Note(voice, pitch, start, stop))
            row += length
    return notes


def _voices(notes: list[_Note], instrument: Instrument, count: int, sample_rate: int) -> Samples:
    """Return the four voices at their positions in the room, float32 [2, count].

    A tone is computed once for each pitch of a voice, and each note is a piece of it, which is
    fast.
    """
    release = _half_cosine(instrument.release, sample_rate)[::-1]
    by_tone: dict[tuple[int, int], list[_Note]] = defaultdict(list)
    for note in notes:
        by_tone[note.voice, note.pitch].append(note)

    lines = np.zeros((len(_PANS), count), np.float32)
    for (voice, pitch), same in by_tone.items():
        line = lines[voice]
        longest = max(note.stop - note.start for note in same)
        tone = _tone(instrument, voice, pitch, longest + len(release), sample_rate)
        for note in same:
            held = note.stop - note.start
            line[note.start : note.stop] += tone[:held]
            line[note.stop : note.stop + len(release)] += tone[held : held + len(release)] * release
    # Constant power: a voice is equally loud at the side and in the middle.
    angles = (np.array(_PANS) + 1) * math.pi / 4
    gains = (np.stack([np.cos(angles), np.sin(angles)]) * _LEVELS).astype(np.float32)
    mix = np.empty((2, count), np.float32)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        for channel, of_voices in zip(mix, gains, strict=True):
            np.multiply(lines[0, block], of_voices[0], out=channel[block])
            for line, gain in zip(lines[1:, block], of_voices[1:], strict=True):
                channel[block] += line * gain
    add_reverb(mix, sample_rate, _ROOM_LEVEL)
    return mix


def _tone(instrument: Instrument, voice: int, pitch: int, count: int, sample_rate: int) -> Samples:
    """Return a note that begins and never ends, float32 [count or more]; not to be written to."""
    length = _SHORTEST_TONE
    while length < count:
        length *= 2
    # All voices of an organ have the same pipes.
    same = instrument.ranks.index(instrument.ranks[voice]) if not instrument.formants else voice
    if length > _LONGEST_TONE:
        return _make_tone(instrument, same, pitch, length, sample_rate)
    return _kept_tone(instrument, same, pitch, length, sample_rate)


def _make_tone(
    instrument: Instrument, voice: int, pitch: int, count: int, sample_rate: int
) -> Samples:
    tone = steady_tone(instrument, voice, pitch, count, sample_rate)
    attack = _half_cosine(instrument.attack, sample_rate)[:count]
    tone[: len(attack)] *= attack
    tone.flags.writeable = False
    return tone


# At most 128 MB; the same pitches occur in chorale after chorale.
_kept_tone = lru_cache(maxsize=128)(_make_tone)


def _half_cosine(seconds: float, sample_rate: int) -> Samples:
    """Return a rise from 0 to 1, flat at both ends: neither the sound nor its slope jumps."""
    n = round(seconds * sample_rate)
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)).astype(np.float32)


def _sines(notes: list[_Note], end: int, count: int, sample_rate: int) -> Samples:
    """Return the book's sine waves, float32 [2, count]; the last chord sounds on and fades."""
    line = np.zeros(count, np.float32)
    for note in notes:
        held = note.stop - note.start
        half_periods = round(2 * frequency(note.pitch) * held / sample_rate)
        stop = count if note.stop == end else note.stop
        phase = np.arange(stop - note.start) * (math.pi * half_periods / max(held, 1))
        line[note.start : stop] += np.sin(phase).astype(np.float32)
    line[end:] *= np.linspace(1, 0, count - end, dtype=np.float32) ** 2
    return np.stack([line, line])
