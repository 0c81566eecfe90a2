"""The given notes that a composition keeps: the opening of a chorale, or some of its voices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from rnnray.chorale import tokens
from rnnray.chorale.chorale_config import BAR
from rnnray.chorale.chords import (
    HIGHEST_PITCH,
    LOWEST_PITCH,
    VOICE_COUNT,
    VOICES,
    Chords,
    Onsets,
)
from rnnray.chorale.composing_options import BarRange
from rnnray.chorale.critique import HIGHEST, LOWEST
from rnnray.chorale.data import chorale_table, scores
from rnnray.chorale.data.metre import Metre
from rnnray.chorale.data.repairs import described
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.progress import say

_OCTAVE = 12
_MIDI = range(1, 128)
# Largest share of a voice's notes outside its range without a warning: one or two are common, but
# most notes of another voice are outside.
_MOST_OUTSIDE = 0.25


@dataclass(frozen=True)
class Melody:
    """Given voices, from their first note on; some of their bars may be open."""

    chords: Chords
    """int16 [n, 4], -1 for notes to compose."""
    onsets: Onsets | None = None
    """Beginnings of the given voices' notes; if None, repeated pitches are held."""
    rest: int = 0
    """Sixteenths of silence before the first note, which give its position in the bar: the file's
    own, and the bar before its upbeat. A composer should not continue from them.
    """

    @property
    def bar_position(self) -> int:
        """Sixteenths from the last bar line to the first note, 0 to 15 (in bars of 16)."""
        return self.rest % BAR


def read_opening(corpus: pa.Table, seed_from: str) -> Chords:
    """Return the first chords of a chorale.

    Args:
        corpus: a chorale table.
        seed_from: the chorale as in `chorale_table.named`, a colon, and the number of chords:
            test:2:8.

    Raises:
        UserError: `seed_from` has another form, or there is no such chorale, or it is shorter.
    """
    which, colon, count = seed_from.rpartition(":")
    if not colon or not (count.isascii() and count.isdigit()) or int(count) == 0:
        raise UserError(
            f"--seed-from {seed_from}: write a chorale and a number of chords, such as test:2:8"
        )
    name, chords = chorale_table.named(corpus, which)
    if int(count) > len(chords):
        raise UserError(f"--seed-from {seed_from}: {name} has only {len(chords)} chords")
    return chords[: int(count)]


def read_melody(path: str, keep: Sequence[str], transpose: int = 0) -> Melody:
    """Return the voices of a file that are to be kept; say what is read as something else.

    That is a voice that seems to be another one, a metre other than 4/4, and an upbeat.

    Args:
        path: a MIDI, MusicXML, Humdrum or CSV file of one to four voices.
        keep: names of the given voices. A file with the same number of voices has them in this
            order; a file of four voices is a whole chorale, whose other voices are ignored.
        transpose: semitones by which the voices are moved.

    Raises:
        UserError: the file cannot be used, has another number of voices, or has notes outside the
            composer's range (the message says by how much to transpose).
    """
    score = scores.read_score(Path(path), _MIDI)
    voices, onsets = score.voices, score.onsets
    for line in (*described(score.repairs), *_of_metre(score.metre)):
        say(f"{path}: {line}")
    columns = [VOICES.index(name) for name in keep]
    if len(set(columns)) < len(columns):
        raise UserError(f"--keep {' '.join(keep)}: names a voice twice")
    if voices.shape[1] == VOICE_COUNT:
        voices, onsets = voices[:, columns], onsets[:, columns]
    if voices.shape[1] != len(columns):
        raise UserError(
            f"{path}: has {voices.shape[1]} voices, but --keep names {len(columns)} "
            f"({' '.join(keep)}); name each of the file's voices, highest first"
        )
    rest = int((voices > 0).any(axis=1).argmax())
    voices = voices[rest:]
    if not voices[0].any():
        raise UserError(f"{path}: has no notes in the voices to keep ({' '.join(keep)})")
    voices = _transposed(voices, transpose, rest, path)
    for column, voice in zip(columns, voices.T, strict=True):
        if voice.any():
            _say_if_another_voice(column, voice[voice > 0], transpose, path)
    given = np.full((len(voices), VOICE_COUNT), NONE, np.int16)
    given[:, columns] = voices
    begun = np.zeros(given.shape, bool)
    begun[:, columns] = onsets[rest:]
    return Melody(given, begun, _before_upbeat(score.metre) + rest)


def open_bars(melody: Melody, bars: BarRange) -> Melody:
    """Return the melody without the notes of some bars, which are composed anew.

    Args:
        melody: given voices.
        bars: the first and the last of these bars, as the composed score counts them: from 1, with
            the bar of an upbeat.

    Raises:
        UserError: the melody has no such bars.
    """
    first, last = bars
    numbers = (melody.rest + np.arange(len(melody.chords))) // BAR + 1
    if last > numbers[-1]:
        raise UserError(
            f"--open-bars {first}:{last}: the melody ends in bar {numbers[-1]} (bars of four "
            "quarters, from 1, with that of an upbeat)"
        )
    opened = ((numbers >= first) & (numbers <= last))[:, None]
    onsets = None if melody.onsets is None else melody.onsets & ~opened
    return replace(melody, chords=np.where(opened, NONE, melody.chords), onsets=onsets)


def _before_upbeat(metre: Metre) -> int:
    """Return the sixteenths of a bar before the upbeat."""
    return -round(metre.upbeat * 4) % BAR


def _of_metre(metre: Metre) -> list[str]:
    """Return what becomes of a metre or an upbeat that the composer does not know, for people."""
    lines = []
    if metre.name:
        lines.append(
            f"is in {metre.name}, but the composer knows bars of 4/4 alone: from the first bar "
            "line on, its bars are counted as bars of 4/4, in all files too"
        )
    if metre.upbeat:
        lines.append(
            f"begins with an upbeat, which is kept: on beat {1 + _before_upbeat(metre) / 4:g} of "
            "a bar, after a rest, so that the next bar begins at a bar line"
        )
    return lines


def _transposed(voices: Chords, semitones: int, rest: int, path: str) -> Chords:
    sounding = voices > 0
    moved = np.where(sounding, voices + semitones, 0).astype(np.int16)
    low, high = int(moved[sounding].min()), int(moved[sounding].max())
    if low >= LOWEST_PITCH and high <= HIGHEST_PITCH:
        return moved
    outside = sounding & ((moved < LOWEST_PITCH) | (moved > HIGHEST_PITCH))
    chord, voice = np.argwhere(outside)[0]
    now = f" after --transpose {semitones}" if semitones else ""
    message = (
        f"{path}, quarter note {(rest + int(chord)) / 4:g} from the beginning: pitch "
        f"{moved[chord, voice]}{now} is outside {LOWEST_PITCH} to {HIGHEST_PITCH}, the pitches "
        "that the composer knows"
    )
    if high - low > HIGHEST_PITCH - LOWEST_PITCH:
        raise UserError(
            f"{message}; the file's pitches span {high - low} semitones: leave voices out"
        )
    fitting = range(semitones + LOWEST_PITCH - low, semitones + HIGHEST_PITCH - high + 1)
    nearest = min(fitting, key=abs)
    octaves = [shift for shift in fitting if shift and shift % _OCTAVE == 0]
    octave = min(octaves, key=abs, default=nearest)
    same_key = "" if octave == nearest else f"; so does --transpose {octave}, in the same key"
    raise UserError(f"{message}; --transpose {nearest} moves all notes into this range{same_key}")


def _say_if_another_voice(voice: int, pitches: Chords, transposed: int, path: str) -> None:
    """Warn if many of a voice's notes, MIDI pitches [n], are outside that voice's range."""
    outside = 1 - _share_in_range(voice, pitches)
    if outside <= _MOST_OUTSIDE:
        return
    shifts = range(-4 * _OCTAVE, 4 * _OCTAVE + 1, _OCTAVE)
    octave = max(shifts, key=lambda shift: (_share_in_range(voice, pitches + shift), -abs(shift)))
    others = [other for other in range(VOICE_COUNT) if other != voice]
    other = max(others, key=lambda other: _share_in_range(other, pitches))
    ways = []
    if _share_in_range(other, pitches) > 1 - outside:
        ways.append(f"--keep {VOICES[other]}")
    if octave:
        ways.append(f"--transpose {transposed + octave}")
    say(
        f"{path}: {outside:.0%} of the notes kept as {VOICES[voice]} lie outside that voice's "
        f"range in Bach's chorales, MIDI pitches {LOWEST[voice]} to {HIGHEST[voice]}"
        + (f"; perhaps you mean {' or '.join(ways)}" if ways else "")
    )


def _share_in_range(voice: int, pitches: Chords) -> float:
    return float(((pitches >= LOWEST[voice]) & (pitches <= HIGHEST[voice])).mean())


def given_tokens(chords: int, opening: Chords | None, melody: Melody | None) -> Tokens:
    """Return the given notes of a composition: tokens int8 [4n], -1 for notes to compose.

    Args:
        chords: length of the piece in chords, with a rest before the melody, which n excludes.
        opening: the first chords, int16 [m, 4].
        melody: voices to keep; not together with an opening.

    Raises:
        UserError: the opening or the melody is longer than the composition, or both are given.
    """
    if opening is not None and melody is not None:
        raise UserError(
            "--seed-from and --melody both give the beginning of the piece; use one of them"
        )
    part, rest, name = opening, 0, "--seed-from"
    if melody is not None:
        part, rest, name = melody.chords, melody.rest, "the melody"
    length = 0 if part is None else rest + len(part)
    if length > chords:
        raise UserError(f"{name} has {length} chords, more than --chords {chords}; raise --chords")
    given = np.full((chords - rest, VOICE_COUNT), NONE, np.int8)
    if part is not None:
        known = part != NONE
        values = tokens.to_tokens(np.where(known, part, 0)).reshape(-1, VOICE_COUNT)
        given[: len(part)][known] = values[known]
    return given.reshape(-1)
