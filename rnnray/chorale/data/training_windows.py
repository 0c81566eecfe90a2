"""The windows of chorales that a composer trains on."""

import hashlib
from collections import Counter
from typing import Any

import pyarrow as pa

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chorale_task import training_rows, whole_pieces
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus_report import SAME_MUSIC
from rnnray.errors import UserError
from rnnray.run_folder import condensed
from rnnray.training.rows import Blocks, TrainingData, mixed


def training_data(config: ChoraleConfig, corpus: pa.Table) -> TrainingData:
    """Return the windows of the train split, mixed, and the whole pieces of the validation split.

    Raises:
        UserError: a split is missing, or the windows are longer than every piece.
    """
    counts = Counter(corpus["split"].to_pylist())
    for split in ("train", "valid"):
        if not counts[split]:
            there = ", ".join(f"{count} in {name}" for name, count in counts.items())
            raise UserError(
                f"{config.data}: split {split!r}: the data have no chorales there, only {there}"
                f"{_way_out(config, corpus)}"
            )
    training = training_rows(config, chorale_table.chords_of(chorale_table.select(corpus, "train")))
    validation = whole_pieces(chorale_table.chords_of(chorale_table.select(corpus, "validation")))
    if not len(training):
        raise UserError(
            f"no piece of {config.data} fills a window of {config.window_chords} chords; use "
            "a smaller --window-chords, or --no-drop-remainder"
        )
    blocks = Blocks.of([training])
    if config.shuffle_rows:
        blocks = mixed(blocks, config.seed)
    return TrainingData(blocks, Blocks.of([validation]), identity(corpus))


def _way_out(config: ChoraleConfig, corpus: pa.Table) -> str:
    """Return the end of the message that a split has no chorales."""
    if len(corpus) > 1:
        return "; use --split 80:10:10, or put them into folders train, valid and test"
    reasons = [reason for _, reason in chorale_table.skipped_of(corpus)]
    same = sum(reason.startswith(SAME_MUSIC) for reason in reasons)
    return (
        f" ({same} more of the same music left out)" * (same > 0)
        + "; two different pieces are needed at least, three for a test split"
        + " and --split 80:10:10" * (config.split is None)
    )


def identity(corpus: pa.Table) -> dict[str, Any]:
    """Return a digest of each piece of a corpus, by split and name."""
    pieces = zip(
        corpus["split"].to_pylist(),
        corpus["name"].to_pylist(),
        chorale_table.chords_of(corpus),
        strict=True,
    )
    return {
        "pieces": condensed(
            {
                f"{split}/{name}": hashlib.sha256(chords.astype("<i2").tobytes()).hexdigest()[:16]
                for split, name, chords in pieces
            }
        )
    }
