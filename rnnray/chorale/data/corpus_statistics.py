"""Statistics of a corpus and some of its pieces, for comparison with compositions.

A composer's checkpoint includes them as a small JSON file, so that composing needs no corpus.
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
from rnnray.chorale.render.midi_writer import held_notes
from rnnray.errors import UserError
from rnnray.packaged import located

STATISTICS_FILE = "statistics.json"
_EXAMPLES = 100  # most pieces; the book's chorales have 77 in their test split
# The statistics of the first files; `out_of_range` was of other ranges then.
_FIRST_MARKS = {"chorales", "steps", "parallel_fifths", "parallel_octaves", "crossing", "spacing"}
_FIRST_MARKS |= {"out_of_range", "changes", "silence", "frozen", "longest_frozen"}
_LONGEST = 1 << 16  # most chords of a piece; over an hour

# Errors of json and NumPy on damaged files, or on files that other programs made.
_NOT_OURS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a corpus, all splits together."""

    critique: Critique
    """Faults that a harmony teacher would mark, and other counts."""
    pitches: NDArray[np.int64]
    """Sixteenths for which each voice sings each pitch, [4, 128] by MIDI pitch; 0 is silence."""
    examples: tuple[tuple[str, Chords], ...]
    """Names ("test 12") and chords of at most 100 pieces: of the test split if there is one,
    otherwise of validation, otherwise of train.
    """


def pitch_counts(chorales: Sequence[Chords]) -> NDArray[np.int64]:
    """Return how often each voice has each MIDI pitch, int64 [4, 128]."""
    chords = np.concatenate(chorales)
    return np.stack([np.bincount(column, minlength=128) for column in chords.T])


def named_pieces(corpus: pa.Table, split: str) -> list[tuple[str, Chords]]:
    """Return the pieces of a split in the table's order, as "test 12" and chords int16 [n, 4]."""
    rows = corpus.filter(pc.equal(corpus["split"], split))
    return [
        (f"{split} {index}", piece) for index, piece in enumerate(chorale_table.chords_of(rows))
    ]


def statistics_of(corpus: pa.Table) -> Statistics:
    """Return the statistics of a chorale table that is not empty."""
    chorales = chorale_table.chords_of(corpus)
    splits = (named_pieces(corpus, split) for split in ("test", "valid", "train"))
    examples = next(pieces for pieces in splits if pieces)
    return Statistics(critique(chorales), pitch_counts(chorales), tuple(examples[:_EXAMPLES]))


def to_json(statistics: Statistics) -> str:
    """Return statistics as JSON; each voice of a piece as pitch, sixteenths, pitch, and so on."""
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
    """Return a checkpoint's statistics and the bytes of their file; None for an older checkpoint.

    Args:
        checkpoint: path or URI of the folder.

    Raises:
        UserError: the file was not made by `to_json`.
    """
    uri = storage.join(located(checkpoint), STATISTICS_FILE)
    content = storage.read_bytes(uri)
    if content is None:
        return None
    try:
        return _from_json(content), content
    except _NOT_OURS as error:
        raise UserError(
            f"{uri}: damaged, or not the statistics of a corpus; delete it, or use another "
            "checkpoint"
        ) from error


def _from_json(content: bytes) -> Statistics:
    values = json.loads(content)
    pitches = _whole(values["pitches"])
    if pitches.shape != (VOICE_COUNT, 128) or pitches.min() < 0:
        raise ValueError("pitches")
    examples = [(example["name"], _chords(example["voices"])) for example in values["examples"]]
    if not examples or not all(type(name) is str and name.isprintable() for name, _ in examples):
        raise ValueError("examples")
    marks = _critique(values["critique"], [piece for _, piece in examples])
    return Statistics(marks, pitches, tuple(examples))


def _critique(marks: dict[str, Any], examples: Sequence[Chords]) -> Critique:
    """The marks of the corpus; those that an older file has not, of its examples."""
    names = {field.name for field in fields(Critique)}
    if not _FIRST_MARKS <= set(marks) <= names or not all(
        type(mark) in (int, float) and np.isfinite(mark) for mark in marks.values()
    ):
        raise ValueError("critique")
    if len(marks) < len(names):
        kept = {name: mark for name, mark in marks.items() if name != "out_of_range"}
        marks = critique(examples).as_dict() | kept
    return Critique(**marks)


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
