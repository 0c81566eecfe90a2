"""The record of what a checkpoint and a seed compose, and of the files of a chorale."""

import io
import wave
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from composers import REACH, SMALL, chorales, save_checkpoint
from recorded import same_values, sha256

from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.composing import compose
from rnnray.chorale.given import given_tokens
from rnnray.chorale.render.rendering import render

CHORDS = 24
assert CHORDS > REACH, "no echoes"


@pytest.mark.parametrize("preset", SMALL)
def test_composed(preset: str, tmp_path: Path) -> None:
    composer = TrainedComposer(save_checkpoint(tmp_path / "checkpoint", preset))
    given = given_tokens(CHORDS, None, None)
    composed = compose(
        composer,
        given,
        [0.0, 0.8, 1.5],
        count=2,
        top_p=0.95,
        seed=7,
        temperature_on="note",
    )
    now = {
        f"temperature {temperature:g}, index {index}": {
            "chords": [" ".join(map(str, voice)) for voice in one.chords.T],
            "nats": [float(nats) for nats in one.nats[:8]],
        }
        for temperature, compositions in composed.items()
        for index, one in enumerate(compositions)
    }
    same_values(f"composed_{preset}.json", now)


@pytest.mark.parametrize("instrument", ["organ", "choir", "sine"])
def test_rendered(instrument: Any, tmp_path: Path) -> None:
    chords = chorales(40)[0]
    files = render(
        str(tmp_path / "0001"), chords, title="A & B", tempo=90, instrument=instrument, given=4
    )
    now: dict[str, Any] = {"names": [Path(file).name for file in files]}
    for file in map(Path, files):
        content = file.read_bytes()
        if file.suffix == ".wav":
            now["wav"] = heard(content)
        elif file.suffix == ".svg":
            now[f"{file.name}, verovio {metadata.version('verovio')}"] = sha256(content)
        elif file.suffix in (".mid", ".musicxml"):
            now[file.name] = sha256(content)
    same_values(f"rendered_{instrument}.json", now)


def heard(content: bytes) -> dict[str, Any]:
    """The form of a wave file, and how loud each half second is: rounding differs by CPU."""
    with wave.open(io.BytesIO(content)) as sound:
        rate, frames = sound.getframerate(), sound.getnframes()
        samples = np.frombuffer(sound.readframes(frames), np.int16).astype(np.float64)
        form = [sound.getnchannels(), sound.getsampwidth(), rate, frames]
    pieces = np.array_split(samples, max(1, 2 * frames // rate))
    return {"form": form, "loudness": [float(np.sqrt((piece**2).mean())) for piece in pieces]}
