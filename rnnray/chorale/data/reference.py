"""The corpus for comparison with compositions: the checkpoint's own, unless one is named."""

import hashlib
from dataclasses import dataclass

import pyarrow as pa

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.composer import read_checkpoint
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.data.corpus_statistics import (
    Statistics,
    named_pieces,
    read_statistics,
    statistics_of,
)
from rnnray.chorale.given import read_opening
from rnnray.errors import UserError

_SPLITS = ("test", "valid", "train")  # in the order of preference for examples


@dataclass(frozen=True)
class Reference:
    """The part of a corpus that composing needs."""

    statistics: Statistics
    examples: tuple[tuple[tuple[str, Chords], ...], ...]
    """Groups of real pieces, as names ("test 12") and chords, the preferred groups first."""
    digest: str
    """SHA-256 of the corpus, or of the checkpoint's statistics file."""
    opening: Chords | None
    """Chords that --seed-from names, int16 [n, 4]."""


def read_reference(checkpoint: str, data: str | None, seed_from: str | None) -> Reference:
    """Return the part of a corpus that composing needs; from the checkpoint alone if it can.

    Args:
        checkpoint: path or URI of a composer's checkpoint.
        data: the corpus, see `open_corpus`; None for the checkpoint's.
        seed_from: see `read_opening`. It needs the corpus, and so does a checkpoint that is older
            than `STATISTICS_FILE`.

    Raises:
        UserError: not a composer's checkpoint, no such corpus, or no such opening.
    """
    config = read_checkpoint(checkpoint)
    kept = None if data is not None else read_statistics(checkpoint)
    corpus = None
    if kept is None or seed_from:
        corpus = open_corpus_of(config, data)
    opening = read_opening(corpus, seed_from) if corpus is not None and seed_from else None
    if kept is not None:
        statistics, content = kept
        digest = hashlib.sha256(content).hexdigest()
        return Reference(statistics, (statistics.examples,), digest, opening)
    assert corpus is not None
    examples = tuple(tuple(named_pieces(corpus, split)) for split in _SPLITS)
    return Reference(
        statistics_of(corpus), tuple(filter(None, examples)), _corpus_digest(corpus), opening
    )


def open_corpus_of(config: ChoraleConfig, data: str | None) -> pa.Table:
    """Return the corpus `data`, or, if that is None, the one that a checkpoint was trained on.

    Raises:
        UserError: see `open_corpus`.
    """
    if data is not None and data != config.data:
        return open_corpus(data)
    try:
        return open_corpus(config.data, split=config.split)  # divided as in training
    except UserError as error:
        raise UserError(
            f"{error} (this is the corpus that the checkpoint was trained on; --data names another)"
        ) from error


def _corpus_digest(corpus: pa.Table) -> str:
    digest = hashlib.sha256()
    for name, split, chords in zip(
        corpus["name"].to_pylist(),
        corpus["split"].to_pylist(),
        chorale_table.chords_of(corpus),
        strict=True,
    ):
        digest.update(f"{split}/{name}/{len(chords) * VOICE_COUNT}\n".encode())
        digest.update(chords.astype("<i2").tobytes())
    return digest.hexdigest()
