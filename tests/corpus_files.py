"""Small files of chorales, and what a corpus makes of them."""

import io
from pathlib import Path

import mido
import numpy as np
import observed

from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus import open_corpus


def midi(*pitches: int) -> bytes:
    file = mido.MidiFile(type=1)
    for pitch in pitches:
        track = file.add_track()
        track.append(mido.Message("note_on", note=pitch, time=0))
        track.append(mido.Message("note_off", note=pitch, time=480))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows(path: object) -> list[tuple[str, str]]:
    read = open_corpus(str(path))
    assert read.schema.equals(chorale_table.SCHEMA)
    return list(zip(read["name"].to_pylist(), read["split"].to_pylist(), strict=True))


def refused(path: Path | str) -> str:
    return observed.refused(open_corpus, str(path))


def tune(seed: int, length: int = 32) -> np.ndarray:
    """A piece of its own, int16 [length, 4]."""
    steps = np.random.default_rng(seed).integers(0, 5, (length // 4, 4))
    return np.repeat(np.array([72, 65, 58, 48]) + steps, 4, axis=0).astype(np.int16)
