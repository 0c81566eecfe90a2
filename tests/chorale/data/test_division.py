"""Splits for a corpus whose source has none."""

from collections import Counter

import numpy as np
import pytest

from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.division import divide
from rnnray.errors import UserError


def corpus(count: int, split: str | None = None) -> object:
    return chorale_table.from_chorales(
        (
            f"piece {n}",
            split or chorale_table.hashed_split(f"piece {n}"),
            np.full((2, 4), 40 + n % 40),
        )
        for n in range(count)
    )


@pytest.mark.parametrize(
    ("count", "split", "expected"),
    [
        (3, "80:10:10", {"train": 1, "valid": 1, "test": 1}),
        (2, "80:10:10", {"train": 1, "valid": 1}),
        (1, "80:10:10", {"train": 1}),
        (100, "80:10:10", {"train": 80, "valid": 10, "test": 10}),
        (100, "70:30:0", {"train": 70, "valid": 30}),
    ],
)
def test_three_pieces_are_enough_for_three_splits(
    count: int, split: str, expected: dict[str, int]
) -> None:
    for before in (corpus(count), corpus(count, "train")):
        divided = divide(before, split, "data")
        assert Counter(divided["split"].to_pylist()) == expected
        assert sorted(divided["name"].to_pylist()) == sorted(before["name"].to_pylist())
        assert chorale_table.check(divided, "data").equals(divided)
        for row in divided.to_pylist():  # its own chords
            assert row["chords"][0][0] == 40 + int(row["name"].split()[1]) % 40


def test_splits_that_the_source_has_are_not_mixed() -> None:
    rows = [("a", "train", 60), ("b", "valid", 61), ("c", "test", 62), ("d", "valid", 61)]
    own = chorale_table.from_chorales((name, split, np.full((2, 4), p)) for name, split, p in rows)
    with pytest.raises(UserError, match="data: already has splits"):
        divide(own, "80:10:10", "data")
