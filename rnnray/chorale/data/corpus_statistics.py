"""Statistics of a corpus, and some of its pieces: what compositions are set beside.

They travel in a composer's checkpoint, as a small JSON file, so that composing needs no corpus.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnray import storage
from rnnray.chorale.chords import HIGHEST_PITCH, LOWEST_PITCH, VOICE_COUNT, Chords
from rnnray.chorale.critique import Critique, critique
from rnnray.chorale.data import chorale_table
from rnnray.chorale.packaged import located
from rnnray.chorale.render.midi_writer import held_notes
from rnnray.errors import UserError

STATISTICS_FILE = "statistics.json"
_EXAMPLES = 100  # pieces; the chorales of the book have 77 in their test split
_LONGEST = 1 << 16  # chords of a piece; over an hour

# What json and NumPy raise of files that are damaged, or that a stranger made.
_NOT_OURS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a corpus, all splits together."""

    critique: Critique
    """What a teacher of harmony would mark."""
    pitches: NDArray[np.int64]
    """How many sixteenths each voice sings each pitch, [4, 128] by MIDI pitch; 0 is silence."""
    examples: tuple[tuple[str, Chords], ...]
    """Names ("test 12") and chords of at most 100 pieces: of the test split if there is one,
    otherwise of valid, otherwise of train."""


def pitch_counts(chorales: Sequence[Chords]) -> NDArray[np.int64]:
    """How often each voice has each MIDI pitch in some chorales, int64 [4, 128]."""
    chords = np.concatenate(chorales)
    return np.stack([np.bincount(column, minlength=128) for column in chords.T])


def named_pieces(corpus: pa.Table, split: str) -> list[tuple[str, Chords]]:
    """The pieces of a split in the table's order, as "test 12" and chords int16 [n, 4]."""
    rows = corpus.filter(pc.equal(corpus["split"], split))
    return [
        (f"{split} {index}", piece) for index, piece in enumerate(chorale_table.chords_of(rows))
    ]


def statistics_of(corpus: pa.Table) -> Statistics:
    """The statistics of a chorale table that has pieces."""
    chorales = chorale_table.chords_of(corpus)
    splits = (named_pieces(corpus, split) for split in ("test", "valid", "train"))
    examples = next(pieces for pieces in splits if pieces)
    return Statistics(critique(chorales), pitch_counts(chorales), tuple(examples[:_EXAMPLES]))


def to_json(statistics: Statistics) -> str:
    """As JSON; pieces as the held notes of each voice: pitch, length in sixteenths, and so on."""
    return json.dumps(
        {
            "critique": asdict(statistics.critique),
            "pitches": statistics.pitches.tolist(),
            "examples": [
                {
                    "name": name,
                    "voices": [
                        [number for note in voice for number in note]
                        for voice in held_notes(chords)
                    ],
                }
                for name, chords in statistics.examples
            ],
        },
        separators=(",", ":"),
    )


def read_statistics(checkpoint: str) -> tuple[Statistics, bytes] | None:
    """The statistics in a checkpoint and the bytes of their file; None in one from before them.

    Args:
        checkpoint: path or URI of the folder.

    Raises:
        UserError: the file is not one that `to_json` made.
    """
    uri = storage.join(located(checkpoint), STATISTICS_FILE)
    content = storage.read_bytes(uri)
    if content is None:
        return None
    try:
        return _from_json(content), content
    except _NOT_OURS as error:
        raise UserError(
            f"{uri}: damaged, or not the statistics of a corpus; delete it, or take another "
            "checkpoint"
        ) from error


def _from_json(content: bytes) -> Statistics:
    values = json.loads(content)
    marks = values["critique"]
    names = {field.name for field in fields(Critique)}
    if set(marks) != names or not all(
        type(mark) in (int, float) and np.isfinite(mark) for mark in marks.values()
    ):
        raise ValueError("critique")
    pitches = _whole(values["pitches"])
    if pitches.shape != (VOICE_COUNT, 128) or pitches.min() < 0:
        raise ValueError("pitches")
    examples = [(example["name"], _chords(example["voices"])) for example in values["examples"]]
    if not examples or not all(type(name) is str and name.isprintable() for name, _ in examples):
        raise ValueError("examples")
    return Statistics(Critique(**marks), pitches, tuple(examples))


def _chords(voices: Any) -> Chords:
    columns = []
    for voice in voices:
        pitches, lengths = _whole(voice).reshape(-1, 2).T
        if not lengths.size or lengths.min() < 1 or lengths.sum() > _LONGEST:
            raise ValueError("lengths")
        if ((pitches != 0) & ((pitches < LOWEST_PITCH) | (pitches > HIGHEST_PITCH))).any():
            raise ValueError("pitches")
        columns.append(np.repeat(pitches, lengths))
    chords = np.stack(columns, axis=1).astype(np.int16)
    if chords.shape[1] != VOICE_COUNT:
        raise ValueError("voices")
    return chords


def _whole(values: Any) -> NDArray[np.int64]:
    array = np.array(values)
    if array.dtype != np.int64:
        raise TypeError(f"{array.dtype} instead of whole numbers")
    return array
