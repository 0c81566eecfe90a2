"""Chorales on request, from a checkpoint and given notes to files."""

import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import fs

from rnnray import storage
from rnnray.chorale.chords import VOICE_COUNT, VOICES, Onsets
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.composing_options import (
    PARTICLES_FOR_ENDING,
    PARTICLES_FOR_GIVEN,
    EndingName,
    InstrumentName,
    RuleName,
    SoundName,
    TemperatureOnName,
)
from rnnray.chorale.critique import beside, critique
from rnnray.chorale.data.corpus_statistics import Statistics
from rnnray.chorale.render import chorale_plots
from rnnray.chorale.render.rendering import render
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.progress import Every, say

_TOLD_SILENCE = 4  # sixteenths of silence that are reported; a shorter rest is a breath
_WRITTEN = re.compile(
    r"(?P<index>\d{4,})(\.(wav|flac|ogg|mid|musicxml|png|svg|html)|-page\d+\.svg)", re.ASCII
)  # see `rnnray.chorale.render.rendering.render`


def compose(
    composer: TrainedComposer,
    given: Tokens,
    temperatures: Sequence[float],
    *,
    count: int,
    top_p: float,
    seed: int,
    bar_position: int = 0,
    rules: Mapping[RuleName, float] = {},
    temperature_on: TemperatureOnName = "pitch",
    particles: int | None = 1,
    ending: EndingName = "any",
) -> dict[float, list[Composition]]:
    """Compose `count` chorales at each temperature, with a line of progress every few seconds.

    Args:
        composer: composer of a checkpoint.
        given: given notes of every chorale, int8 [4n], -1 for notes to compose; see
            `rnnray.chorale.given`.
        temperatures: see `Request`.
        count: number of chorales at each temperature; their indices are 0 to count - 1.
        top_p: see `Request`.
        seed: seed of all random choices.
        bar_position: see `Request`.
        rules: see `rnnray.chorale.sampler.Sampler`.
        temperature_on: likewise.
        particles: likewise; None for as many as are of use: 32 if a given note follows one that is
            to be composed, 8 for an ending alone, 1 if every note is the likeliest.
        ending: likewise.

    Returns:
        The compositions at each temperature, by index.
    """
    requests = [
        Request(given, index, temperature, top_p, bar_position)
        for temperature in temperatures
        for index in range(count)
    ]
    composed: list[Composition] = []
    progress = Every()
    if particles is None:
        known = given != NONE
        ahead = not known[: known.sum()].all()
        particles = (
            PARTICLES_FOR_GIVEN if ahead else PARTICLES_FOR_ENDING if ending == "tonic" else 1
        )
        particles = particles if any(temperatures) else 1
    sampler = composer.sampler(
        seed=seed, rules=rules, temperature_on=temperature_on, particles=particles, ending=ending
    )
    for batch in sampler.compose(requests):
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
    bach: Statistics,
    uri: str,
    *,
    tempo: float,
    instrument: InstrumentName,
    rest: int = 0,
    onsets: Onsets | None = None,
    sounds: Sequence[SoundName] = ("wav",),
) -> dict[str, Any]:
    """Write composed chorales to files, and print a comparison with Bach.

    Args:
        composed: chorales by temperature, from `compose`.
        given: as in `compose`; the plots shade opening chords that are given whole.
        bach: statistics of real chorales to compare with.
        uri: path or URI of a folder. Files go to temperature=T/INDEX.* in it. pitches.png compares
            the frequency of each pitch with Bach's. Chorales of an earlier, larger run at one of
            these temperatures are deleted, since they would pass for this one's. Those at other
            temperatures stay, and a line names them.
        tempo: quarter notes a minute.
        instrument: see `rnnray.chorale.render.sound.synthesize`.
        rest: sixteenths of silence before the chorales in the files; statistics leave them out.
        onsets: beginnings of notes of given voices, for at most as many chords as are composed.
        sounds: suffixes of the sound files.

    Returns:
        For each temperature the critique, the nats of a composed note, and the files.

    Raises:
        UserError: the storage refuses a file.
    """
    composed_at = np.flatnonzero(given == NONE)
    opening = (composed_at[0] if len(composed_at) else len(given)) // VOICE_COUNT
    bachs = bach.critique
    known = (given != NONE).reshape(-1, VOICE_COUNT)
    # An opening alone is shaded instead.
    apart = np.pad(known & known[opening:].any(), ((rest, 0), (0, 0)))
    begun = None
    if onsets is not None:
        begun = np.pad(onsets, ((rest, len(known) - len(onsets)), (0, 0)))
    silence = np.zeros((rest, VOICE_COUNT), np.int16)
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
                storage.join(uri, _folder(temperature), f"{index:04d}"),
                np.concatenate([silence, composition.chords]),
                title=f"Chorale {index} at temperature {temperature:g}",
                tempo=tempo,
                instrument=instrument,
                given=0 if apart.any() else int(opening) and rest + int(opening),
                given_notes=apart,
                onsets=begun,
                sounds=sounds,
            )
        _delete_older(storage.join(uri, _folder(temperature)), len(compositions))
        statistics = critique(
            [composition.chords for composition in compositions], bar_position=rest
        )
        nats = np.stack([composition.nats for composition in compositions])[:, given == NONE]
        mean = float(nats.mean()) if nats.size else float("nan")
        say(f"temperature {temperature:g}: {mean:.3f} nats per composed note; beside Bach:")
        for line in beside(statistics, bachs):
            say(f"    {line}")
        if line := silent_voices(compositions, given):
            say(f"temperature {temperature:g}: {line}")
        result["temperatures"][f"{temperature:g}"] = statistics.as_dict() | {
            "nats_per_note": mean,
            "files": files,
        }
    _say_other_temperatures(uri, {_folder(temperature) for temperature in composed})
    with tempfile.TemporaryDirectory() as temporary:
        plot = Path(temporary) / "pitches.png"
        everything = [piece.chords for pieces in composed.values() for piece in pieces]
        chorale_plots.pitch_histogram(plot, everything, bach)
        storage.put_file(plot, histogram)
    return result


def _folder(temperature: float) -> str:
    return f"temperature={temperature:g}"


def silent_voices(compositions: Sequence[Composition], given: Tokens) -> str:
    """Return a warning of voices that are silent while a given voice sings; empty if all sing.

    Args:
        compositions: compositions at one temperature.
        given: given notes of each of them, int8 [4n], as in `compose`.
    """
    voices = given.reshape(-1, VOICE_COUNT)
    harmonised = (voices > 0).any(axis=1, keepdims=True)
    composed = harmonised & (voices == NONE)
    silent = [(composed & (one.chords == 0)).sum(axis=0) for one in compositions]
    found = [index for index, counts in enumerate(silent) if counts.max() >= _TOLD_SILENCE]
    if not found:
        return ""
    worst = max(found, key=lambda index: int(silent[index].sum()))
    names = ", ".join(
        f"{name} {count}"
        for name, count in zip(VOICES, silent[worst].tolist(), strict=True)
        if count
    )
    return (
        f"{len(found)} of {len(compositions)} chorales have a voice that is silent while a given "
        f"voice sings, most of all {worst:04d}: {names} of {harmonised.sum()} sixteenths; "
        "another --seed or a lower temperature may help"
    )


def _delete_older(folder: str, count: int) -> None:
    """Delete an earlier run's files of indices from `count`, and nothing else in the folder."""
    older = set()
    for entry in _entries(folder):
        name = _WRITTEN.fullmatch(entry.base_name)
        if name and int(name["index"]) >= count and storage.delete(f"{folder}/{name[0]}"):
            older.add(name["index"])
    if older:
        say(f"{folder}: deleted {len(older):,} chorales of an earlier run, from {min(older)} on")


def _say_other_temperatures(uri: str, own: Collection[str]) -> None:
    """Name the folders of other temperatures that an earlier run left."""
    others = [
        entry.base_name
        for entry in _entries(uri)
        if entry.type == fs.FileType.Directory
        and entry.base_name.startswith("temperature=")
        and entry.base_name not in own
        and any(_WRITTEN.fullmatch(file.base_name)
                for file in _entries(storage.join(uri, entry.base_name)))
    ]  # fmt: skip
    if others:
        say(
            f"{uri}: {', '.join(sorted(others))} of an earlier run stay; pitches.png and the "
            "statistics are this run's alone"
        )


def _entries(folder: str) -> list[fs.FileInfo]:
    filesystem, path = storage.open_uri(folder)
    found: list[fs.FileInfo] = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return found
