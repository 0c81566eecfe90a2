"""What a run trains on: mixed once, so that it does not matter how the files lie."""

from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from rnnray.training import rows
from rnnray.training.rows import Blocks, mixed


def sorted_by_class(classes: int, each: int, block: int) -> Blocks:
    table = pa.table({"class": np.repeat(np.arange(classes), each), "id": range(classes * each)})
    return Blocks.of(table.slice(at, block) for at in range(0, len(table), block))


def ids(blocks: Blocks) -> list[int]:
    tables = map(blocks.table, range(len(blocks.tables)))
    return [*chain.from_iterable(table["id"].to_pylist() for table in tables)]


# Bytes of a group, of 192,000 in all, and how many rounds that takes.
@pytest.mark.parametrize(("group", "rounds"), [(1 << 20, 1), (64_000, 2), (24_000, 3)])
def test_rows_sorted_by_class_end_in_blocks_that_each_have_all_classes(
    monkeypatch: pytest.MonkeyPatch, group: int, rounds: int
) -> None:
    monkeypatch.setattr(rows, "_MIX_BYTES", group)
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 8000)
    before = sorted_by_class(20, 600, 100)
    after = mixed(before, seed=3)
    assert sorted(ids(after)) == ids(before)
    assert after.counts == tuple(map(len, after.tables))
    assert min(after.counts) > 100
    for table, count in zip(after.tables, after.counts, strict=True):
        classes = np.bincount(table["class"].to_numpy(), minlength=20)
        # Five standard deviations of as many random samples of random samples.
        assert np.abs(classes - count / 20).max() < 5 * np.sqrt(rounds * count / 20)


def test_the_same_seed_mixes_in_the_same_way_or_an_epoch_could_not_be_resumed() -> None:
    blocks = sorted_by_class(5, 100, 30)
    assert ids(mixed(blocks, 1)) == ids(mixed(blocks, 1))
    assert ids(mixed(blocks, 1)) != ids(mixed(blocks, 2))


def test_no_rows_are_mixed_to_no_rows() -> None:
    assert mixed(Blocks.of([]), 0) == Blocks((), ())
