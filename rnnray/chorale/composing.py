"""Chorales on request: from a checkpoint, given opening chords or voices, to files."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnnray import storage
from rnnray.chorale import pictures, scores, table, tokens
from rnnray.chorale.chords import VOICE_COUNT, VOICES, Chords
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.critique import beside, critique
from rnnray.chorale.rendering import render
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.sound import InstrumentName
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.progress import Every, say


def opening(corpus: pa.Table, seed_from: str) -> Chords:
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


def melody(path: str, keep: Sequence[str]) -> Chords:
    """Voices that are given, int16 [n, 4], -1 where a note is to be composed.

    Args:
        path: a MIDI, MusicXML or CSV file of one to four voices.
        keep: names of the voices that are given; a file of as many voices has them in this order,
            a file of four voices is a whole chorale, whose other voices are not looked at.

    Raises:
        UserError: the file cannot be used, or has another number of voices.
    """
    voices = scores.read_voices(path)
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


def compose(
    composer: TrainedComposer,
    given: Tokens,
    temperatures: Sequence[float],
    *,
    count: int,
    top_p: float,
    seed: int,
) -> dict[float, list[Composition]]:
    """Compose `count` chorales at each temperature, with a line of progress every few seconds.

    Args:
        composer: a checkpoint's.
        given: of every chorale, int8 [4n], -1 is to be composed; see `given_tokens`.
        temperatures: see `Request`.
        count: chorales have the indices 0 to count - 1, at every temperature.
        top_p: see `Request`.
        seed: of all random choices.
    """
    requests = [
        Request(given, index, temperature, top_p)
        for temperature in temperatures
        for index in range(count)
    ]
    composed: list[Composition] = []
    progress = Every()
    for batch in composer.sampler(seed=seed).compose(requests):
        composed += batch
        if progress():
            say(f"composed {len(composed):,} of {len(requests):,} chorales")
    return {
        temperature: composed[number * count : (number + 1) * count]
        for number, temperature in enumerate(temperatures)
    }


def publish(
    composed: dict[float, list[Composition]],
    given: Tokens,
    bach: Sequence[Chords],
    uri: str,
    *,
    tempo: float,
    instrument: InstrumentName,
) -> dict[str, Any]:
    """Write what was composed, and say how it compares with Bach.

    Args:
        composed: as from `compose`.
        given: as there; chords that are given whole, at the beginning, are shaded in the pictures.
        bach: real chorales to compare with.
        uri: folder or URI; files go to temperature=T/INDEX.* in it, and pitches.png, how often each
            pitch was composed beside how often Bach wrote it.
        tempo: quarter notes a minute.
        instrument: see `rnnray.chorale.sound.synthesize`.

    Returns:
        For each temperature the critique, the nats of a composed note, and the files.

    Raises:
        UserError: the storage refuses a file.
    """
    opening = (given == NONE).argmax() // VOICE_COUNT if (given == NONE).any() else 0
    bachs = critique(bach)
    histogram = storage.join(uri, "pitches.png")
    result: dict[str, Any] = {"output": uri, "pitches": histogram, "bach": bachs.as_dict()}
    result["temperatures"] = {}
    progress = Every()
    for temperature, compositions in composed.items():
        files = []
        for index, composition in enumerate(compositions):
            if progress():
                say(f"writing temperature {temperature:g}: {index} of {len(compositions)}")
            files += render(
                storage.join(uri, f"temperature={temperature:g}", f"{index:04d}"),
                composition.chords,
                title=f"Chorale {index} at temperature {temperature:g}",
                tempo=tempo,
                instrument=instrument,
                given=int(opening),
            )
        figures = critique([composition.chords for composition in compositions])
        nats = np.stack([composition.nats for composition in compositions])[:, given == NONE]
        mean = float(nats.mean()) if nats.size else float("nan")
        say(f"temperature {temperature:g}: {mean:.3f} nats a composed note; beside Bach:")
        for line in beside(figures, bachs):
            say(f"    {line}")
        result["temperatures"][f"{temperature:g}"] = figures.as_dict() | {
            "nats_per_note": mean,
            "files": files,
        }
    with tempfile.TemporaryDirectory() as temporary:
        picture = Path(temporary) / "pitches.png"
        everything = [piece.chords for pieces in composed.values() for piece in pieces]
        pictures.pitch_histogram(picture, everything, bach)
        storage.put_file(picture, histogram)
    return result
