"""What a composition begins with and keeps: an opening of a chorale, or some of the voices."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from rnnray.chorale import scores, table, tokens
from rnnray.chorale.chords import VOICE_COUNT, VOICES, Chords
from rnnray.chorale.repairs import described
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.progress import say


def read_opening(corpus: pa.Table, seed_from: str) -> Chords:
    """The first chords of a chorale.

    Args:
        corpus: a chorale table.
        seed_from: the chorale as in `table.named`, a colon, how many chords: test:2:8.

    Raises:
        UserError: it is not of that form, or there is no such chorale, or it is shorter.
    """
    which, colon, count = seed_from.rpartition(":")
    if not colon or not (count.isascii() and count.isdigit()) or int(count) == 0:
        raise UserError(
            f"--seed-from {seed_from}: write a chorale and a number of chords, such as test:2:8"
        )
    name, chords = table.named(corpus, which)
    if int(count) > len(chords):
        raise UserError(f"--seed-from {seed_from}: {name} has only {len(chords)} chords")
    return chords[: int(count)]


def read_melody(path: str, keep: Sequence[str]) -> Chords:
    """Voices that are given, int16 [n, 4], -1 where a note is to be composed.

    Args:
        path: a MIDI, MusicXML or CSV file of one to four voices.
        keep: names of the voices that are given; a file of as many voices has them in this order,
            a file of four voices is a whole chorale, whose other voices are not looked at.

    Raises:
        UserError: the file cannot be used, or has another number of voices.
    """
    voices, repairs = scores.read_score(Path(path))
    for line in described(repairs):
        say(f"{path}: {line}")
    places = [VOICES.index(name) for name in keep]
    if len(set(places)) < len(places):
        raise UserError(f"--keep {' '.join(keep)}: names a voice twice")
    if voices.shape[1] == VOICE_COUNT:
        voices = voices[:, places]
    if voices.shape[1] != len(places):
        raise UserError(
            f"{path}: has {voices.shape[1]} voices, but --keep names {len(places)} "
            f"({' '.join(keep)}); name each of the file's voices, highest first"
        )
    given = np.full((len(voices), VOICE_COUNT), NONE, np.int16)
    given[:, places] = voices
    return given


def given_tokens(chords: int, opening: Chords | None, melody: Chords | None) -> Tokens:
    """What a composition begins with and keeps: tokens int8 [4 * chords], -1 is to be composed.

    Raises:
        UserError: the opening or the melody is longer than the composition.
    """
    given = np.full((chords, VOICE_COUNT), NONE, np.int8)
    for part, name in ((melody, "the melody"), (opening, "--seed-from")):
        if part is None:
            continue
        if len(part) > chords:
            raise UserError(
                f"{name} has {len(part)} chords, more than --chords {chords}; ask for more"
            )
        known = part != NONE
        values = tokens.to_tokens(np.where(known, part, 0)).reshape(-1, VOICE_COUNT)
        given[: len(part)][known] = values[known]
    return given.reshape(-1)
