"""Shares of few drawings: exact ones, where a hash of each drawing would leave a split empty."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import ray

from rnnray.progress import say
from rnnray.sketch.data import formats, sketch_table
from rnnray.sketch.data.drawings import FilePart
from rnnray.sketch.data.scans import Share, position_of
from rnnray.splits import SPLITS, counts_of, parse_shares


def exact_shares(
    data: str,
    parts: Sequence[FilePart],
    shares: Mapping[str, Share],
    split: str,
    reading: Mapping[str, Any],
) -> dict[str, Share] | None:
    """Return shares by the rank of the drawings' hashes; None if `shares` leave no split empty.

    Reads drawings until each share has one, and so all of them only where they are few. Copies of a
    drawing have one rank. Each split of more than 0 % has at least one drawing if there are enough.

    Args:
        data: the source, for messages.
        parts: all its files, undivided.
        shares: shares of the hash, by split.
        split: the shares in percent, see `TrainingConfig.split`.
        reading: Ray's options of the reading tasks.
    """
    # In a task, because reading may import TensorFlow.
    task = ray.remote(_if_one_is_empty).options(**reading)
    positions = (
        ray.get(task.remote(parts, shares))
        if parts[0].format == "tfrecords"
        else _if_one_is_empty(parts, shares)
    )
    if not positions:
        return None
    count = len(positions)
    counts = counts_of(count, parse_shares(split))
    say(
        f"{data}: a hash would leave a split empty, so {count} different drawing"
        f"{' is' if count == 1 else 's are'} divided by the rank of their hashes: "
        + ", ".join(f"{number} {name}" for number, name in zip(counts, SPLITS, strict=True))
    )
    bounds = [0.0, *([*positions, 100.0][end] for end in accumulate(counts[:2])), 100.0]
    ranges = dict(zip(SPLITS, pairwise(bounds), strict=True))
    return {
        name: replace(share, first=ranges[name][0], end=ranges[name][1])
        for name, share in shares.items()
    }


def _if_one_is_empty(parts: Sequence[FilePart], shares: Mapping[str, Share]) -> list[float] | None:
    """Return the positions of all different drawings, in order; None if each share has one."""
    found: set[float] = set()
    empty = list(shares.values())
    for position in (each for part in parts for each in _positions(part)):
        found.add(position)
        empty = [share for share in empty if not share.has(position)]
        if not empty:
            return None
    return sorted(found)


def _positions(part: FilePart) -> Iterator[float]:
    if part.format in formats.WITH_WORDS:
        for drawing in part.drawings():
            yield position_of(drawing.ink, drawing.key_id)
        return
    for rows in part.tables(origin=False, on_bad=lambda _: None):
        yield from map(position_of, sketch_table.inks_of(rows))
