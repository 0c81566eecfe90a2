"""Splits for a corpus whose source has none."""

import hashlib

import pyarrow as pa

from rnnray.chorale.data.chorale_table import SPLITS, hashed_split
from rnnray.errors import UserError
from rnnray.training.training_options import parse_shares


def divide(corpus: pa.Table, split: str, data: str) -> pa.Table:
    """Divide the pieces of a corpus by a hash of their names, in exactly the given shares.

    A split of more than 0 % has at least one piece if there are enough. Unlike with
    `chorale_table.hashed_split`, further pieces may move earlier ones to another split.

    Args:
        corpus: a chorale table.
        split: see `TrainingConfig.split`.
        data: the source, for messages.

    Raises:
        UserError: the source has splits of its own.
    """
    names, there = corpus["name"].to_pylist(), corpus["split"].to_pylist()
    pairs = zip(names, there, strict=True)
    if len(set(there)) > 1 and any(hashed_split(name) != its for name, its in pairs):
        raise UserError(
            f"{data}: already has splits, which --split {split} would mix; leave --split out"
        )
    order = sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).digest())
    counts = shares_of(len(names), parse_shares(split))
    in_order = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    chosen = [name for _, name in sorted(zip(order, in_order, strict=True))]
    column = pa.array(chosen, pa.string())
    divided = corpus.set_column(corpus.schema.get_field_index("split"), "split", column)
    # In the order of `from_chorales`.
    rows = sorted(range(len(names)), key=lambda row: (SPLITS.index(chosen[row]), names[row]))
    return divided.take(rows)


def shares_of(pieces: int, percent: tuple[int, int, int]) -> list[int]:
    """Return the number of pieces of each split: train, validation and test.

    A split of more than 0 % has at least one piece if there are enough.
    """
    held_out = [round(pieces * share / 100) or int(share > 0) for share in percent[1:]]
    while sum(held_out) >= pieces and any(held_out):
        held_out[held_out[1] >= held_out[0]] -= 1
    return [pieces - sum(held_out), *held_out]
