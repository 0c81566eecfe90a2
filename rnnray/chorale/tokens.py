"""Chords as the note tokens that the composers read, and back; transpositions; windows.

Tokens are those of A. Géron, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow,
3rd edition, chapter 15, exercise 10: 0 is silence, 1 to 46 are the MIDI pitches 36 to 81. Each
chord is four tokens: soprano, alto, tenor, bass.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import HIGHEST_PITCH, LOWEST_PITCH, VOICES, Chords

TOKENS = HIGHEST_PITCH - LOWEST_PITCH + 2
# No token: padding after a piece's end, or a note to compose.
NONE = -1

Tokens = npt.NDArray[np.int8]


def to_tokens(chords: Chords) -> Tokens:
    """Return the tokens of chords: int16 [n, 4] -> int8 [4n].

    Raises:
        ValueError: a pitch is neither 0 nor from 36 to 81.
    """
    sounding = chords != 0
    if ((chords < LOWEST_PITCH) | (chords > HIGHEST_PITCH))[sounding].any():
        raise ValueError(f"pitches are 0, or {LOWEST_PITCH} to {HIGHEST_PITCH}")
    return np.where(sounding, chords - LOWEST_PITCH + 1, 0).astype(np.int8).reshape(-1)


def to_chords(tokens: npt.NDArray[np.integer]) -> Chords:
    """Return the chords of tokens: [4n] -> int16 [n, 4].

    Raises:
        ValueError: a token is not from 0 to 46, or there is no whole number of chords.
    """
    if ((tokens < 0) | (tokens >= TOKENS)).any():
        raise ValueError(f"tokens are 0 to {TOKENS - 1}")
    if tokens.size % len(VOICES):
        raise ValueError(f"{tokens.size} tokens are no whole number of chords")
    chords = np.where(tokens > 0, tokens.astype(np.int16) + LOWEST_PITCH - 1, 0)
    return chords.astype(np.int16).reshape(-1, len(VOICES))


def voice_ranges(chorales: Sequence[Chords]) -> npt.NDArray[np.int16]:
    """Return each voice's lowest and highest pitch, int16 [4, 2]; 36 and 81 if it is silent."""
    ranges = np.array([[LOWEST_PITCH, HIGHEST_PITCH]] * len(VOICES), np.int16)
    for voice, pitches in enumerate(np.concatenate(chorales).T):
        if (sounding := pitches[pitches > 0]).size:
            ranges[voice] = sounding.min(), sounding.max()
    return ranges


def transpositions(
    chords: Chords, ranges: npt.NDArray[np.int16], semitones: int
) -> Iterator[Chords]:
    """Yield all transpositions of a piece in which each voice stays in range.

    The piece itself is always included; silence stays silence.

    Args:
        chords: int16 [n, 4].
        ranges: lowest and highest pitch of each voice, int16 [4, 2].
        semitones: largest distance, down and up.
    """
    sounding = chords != 0
    for shift in range(-semitones, semitones + 1):
        moved = np.where(sounding, chords + shift, 0).astype(np.int16)
        fits = (moved >= ranges[:, 0]) & (moved <= ranges[:, 1])
        if shift == 0 or fits[sounding].all():
            yield moved


def windows(tokens: Tokens, chords: int, shift: int, *, drop_remainder: bool) -> Iterator[Tokens]:
    """Yield windows of `chords` chords, `shift` chords apart: int8 [4 * chords].

    Args:
        tokens: tokens of a piece, int8 [4n].
        chords: number of chords in a window.
        shift: number of chords between the starts of two windows.
        drop_remainder: leave out chords at the end that fill no whole window, as the book does;
            otherwise the windows reach to the piece's end, and the last one is filled up with -1.
    """
    size, step = chords * len(VOICES), shift * len(VOICES)
    if drop_remainder:
        for start in range(0, len(tokens) - size + 1, step):
            yield tokens[start : start + size]
        return
    start = 0
    while True:
        window = np.full(size, NONE, np.int8)
        piece = tokens[start : start + size]
        window[: len(piece)] = piece
        yield window
        if start + size >= len(tokens):
            return
        start += step
