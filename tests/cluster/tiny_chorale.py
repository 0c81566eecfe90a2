"""A corpus, a composer and a run of the tests' size; see `tiny`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tiny import Ended

from rnnray.chorale.chords import Chords
from rnnray.chorale.render.midi_writer import PART_NAMES

# A model that trains in seconds.
MODEL = {
    "architecture": "chords",
    "embedding": 16,
    "lstm_units": 16,
    "lstm_layers": 1,
    "head_units": 16,
    "embedding_dropout": 0.0,
    "dropout": 0.0,
    "head_dropout": 0.0,
    "reach": 48,
}
TINY = {
    "model": MODEL,
    "epochs": 3,
    "global_batch_size": 6,
    "window_chords": 32,
    "window_shift": 16,
    "transpose": 1,
    "optimizer": {"name": "adam", "learning_rate": 0.01, "schedule": "constant", "warmup_share": 0},
}
# Numbers that two workers cannot share equally, and pieces of different lengths.
PIECES = {"train": 9, "valid": 5, "test": 3}

# Tonic, subdominant, dominant in C major, as pitch classes.
_TRIADS = np.array([[0, 4, 7], [5, 9, 0], [7, 11, 2]])
_RANGES = ((67, 79), (60, 71), (53, 64), (41, 54))


def chorale(seed: int, quarters: int) -> Chords:
    """A piece int16 [4 * quarters, 4]: triads in four voices, each note near the one before it,
    a sixteenth of a passing note here and there in the tenor, and a silence at the end.
    """
    rng = np.random.default_rng(seed)
    last = np.array([72, 67, 55, 48])
    rows = []
    for quarter in range(quarters):
        triad = _TRIADS[0 if quarter in (0, quarters - 1) else rng.integers(3)]
        chord = []
        for voice, (low, high) in enumerate(_RANGES):
            wanted = triad[:1] if voice == 3 else triad
            fitting = [p for p in range(low, high + 1) if p % 12 in wanted]
            chord.append(min(fitting, key=lambda pitch: (abs(pitch - last[voice]), pitch)))
        rows += [chord] * 4
        if rng.random() < 0.3:
            rows[-1] = [*chord[:2], chord[2] + 2, chord[3]]
        last = np.array(chord) + rng.integers(-2, 3, 4)
    rows[-1] = [0, 0, 0, 0]
    return np.array(rows, np.int16)


def write_csv(path: Path, chords: Chords) -> Path:
    """Write voices int16 [n, v] as the JSB chorales are written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ",".join(f"note{voice}" for voice in range(chords.shape[1]))
    lines = [",".join(map(str, chord)) for chord in chords.tolist()]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def write_corpus(folder: Path) -> Path:
    """Write the tests' corpus: `PIECES` CSV files of 8 to 12 quarter notes in three folders."""
    seed = 0
    for split, count in PIECES.items():
        for number in range(count):
            write_csv(folder / split / f"piece_{number}.csv", chorale(seed, 8 + seed % 5))
            seed += 1
    return folder


@dataclass(frozen=True)
class TrainedChorale:
    """A finished run of jobs/train_chorale.py."""

    ended: Ended
    storage: Path
    """Its --storage-path; its --name is "shared"."""
    config: Path
    """Its --config."""
    corpus: Path
    """Its --data."""

    @property
    def checkpoint(self) -> Path:
        """Its best checkpoint."""
        return Path(self.ended.result["checkpoint"])


def sounds(path: Path, count: int) -> Chords:
    """The first `count` chords of a MIDI or MusicXML file, by music21 alone: int16 [count, 4]."""
    from music21 import converter  # noqa: PLC0415  (seconds)

    reader = converter.Converter()
    # music21 would otherwise keep what it read in the temporary folder, by path.
    reader.parseFileNoPickle(path, forceSource=True)
    chords = np.zeros((count, 4), np.int16)
    for part in reader.stream.parts:
        voice = PART_NAMES.index(part.partName.removesuffix(" (given)"))
        for note in part.flatten().notes:
            start = int(4 * note.offset)
            chords[start : start + int(4 * note.quarterLength), voice] = note.pitch.midi
    return chords


def notes(path: Path) -> list[list[tuple[float, float, int]]]:
    """Of each voice of a MIDI or MusicXML file, by music21 alone: start and length of its notes in
    quarters, and their pitch.
    """
    from music21 import converter  # noqa: PLC0415  (seconds)

    reader = converter.Converter()
    reader.parseFileNoPickle(path, forceSource=True)
    found: list[list[tuple[float, float, int]]] = [[] for _ in PART_NAMES]
    for part in reader.stream.parts:
        for note in part.stripTies().flatten().notes:
            sung = (float(note.offset), float(note.quarterLength), int(note.pitch.midi))
            found[PART_NAMES.index(part.partName.removesuffix(" (given)"))].append(sung)
    return found
