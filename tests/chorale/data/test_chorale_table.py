from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from observed import refused

from rnnray.chorale.chords import Chords
from rnnray.chorale.data import chorale_table
from rnnray.errors import UserError

CHORDS = arrays(
    np.int16,
    st.tuples(st.integers(1, 9), st.just(4)),
    elements=st.sampled_from([0, *range(36, 82)]),
)


def chords(pitch: int, length: int = 2) -> Chords:
    return np.full((length, 4), pitch, np.int16)


def small() -> pa.Table:
    rows = [("b", "test", 61), ("a", "test", 60), ("c", "train", 62), ("d", "test", 63)]
    return chorale_table.from_chorales(
        [(name, split, chords(pitch)) for name, split, pitch in rows]
    )


@given(st.lists(CHORDS, max_size=5))
def test_chords_come_back_as_they_went_in(pieces: list[Chords]) -> None:
    made = chorale_table.from_chorales(
        [(f"{number}", "train", piece) for number, piece in enumerate(pieces)]
    )
    assert made.schema == chorale_table.SCHEMA
    back = chorale_table.chords_of(made)
    assert len(back) == len(pieces)
    for piece, its in zip(pieces, back, strict=True):
        assert its.dtype == np.int16
        np.testing.assert_array_equal(its, piece)
    for number, piece in enumerate(pieces):  # slices have offsets, concatenations have chunks
        np.testing.assert_array_equal(chorale_table.chords_of(made.slice(number, 1))[0], piece)
    assert len(chorale_table.chords_of(pa.concat_tables([made, made]))) == 2 * len(pieces)


def test_a_split_has_its_own_chorales_by_name() -> None:
    chosen = chorale_table.select(small(), "test")
    assert chosen["name"].to_pylist() == ["a", "b", "d"]
    assert [piece[0, 0] for piece in chorale_table.chords_of(chosen)] == [60, 61, 63]


@pytest.mark.parametrize(
    ("which", "name", "pitch"), [("test:0", "a", 60), ("test:2", "d", 63), ("c", "c", 62)]
)
def test_a_chorale_is_found_by_its_place_and_by_its_name(which: str, name: str, pitch: int) -> None:
    found, its = chorale_table.named(small(), which)
    assert found == name
    np.testing.assert_array_equal(its, chords(pitch))


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("test:3", "'test:3': test has 3 chorales, test:0 to test:2"),
        ("test:-1", "'-1' is not a whole number"),
        ("tests:1", "split 'tests' does not exist; the splits are train, valid, test"),
        ("valid:0", "split 'valid': the data have no chorales there, only 1 in train, 3 in test"),
        ("e", "'e': no such chorale; use a name, such as c"),
    ],
)
def test_a_chorale_that_is_not_there_is_a_clear_error(which: str, message: str) -> None:
    assert message in refused(chorale_table.named, small(), which)


def test_a_name_in_two_splits_must_be_told_apart() -> None:
    both = chorale_table.from_chorales([("a", "test", chords(60)), ("a", "train", chords(61))])
    with pytest.raises(UserError, match="write train:0 or test:0"):
        chorale_table.named(both, "a")


def test_the_validation_split_has_two_names() -> None:
    made = chorale_table.from_chorales([("a", "valid", chords(60)), ("b", "train", chords(61))])
    for name in ("valid", "validation"):
        assert chorale_table.select(made, name)["name"].to_pylist() == ["a"]
    assert chorale_table.named(made, "validation:0")[0] == "a"


def test_what_was_skipped_stays_with_the_table() -> None:
    made = chorale_table.from_chorales([("a", "test", chords(60))], [("b.mid", "has 5 voices")])
    assert chorale_table.skipped_of(chorale_table.select(made, "test")) == [
        ("b.mid", "has 5 voices")
    ]
    assert chorale_table.skipped_of(chorale_table.check(made, "x")) == [("b.mid", "has 5 voices")]
    assert chorale_table.skipped_of(small()) == []


def test_splits_by_hash_stay_where_they_are_and_have_their_shares() -> None:
    splits = [chorale_table.hashed_split(f"bwv{number}") for number in range(2000)]
    assert splits[:3] == [chorale_table.hashed_split(f"bwv{number}") for number in range(3)]
    assert chorale_table.hashed_split("bwv269") == "train"
    assert (chorale_table.hashed_split("bwv7"), chorale_table.hashed_split("bwv30")) == (
        "valid",
        "test",
    )
    assert [splits.count(split) / 2000 for split in chorale_table.SPLITS] == pytest.approx(
        [0.8, 0.1, 0.1], abs=0.03
    )


def test_a_table_from_elsewhere_is_put_in_order() -> None:
    other = pa.table(
        {
            "chords": [[[60, 60, 60, 0]], [[61, 61, 61, 36]]],
            "extra": [1, 2],
            "split": ["test", "train"],
            "name": ["a", "b"],
        }
    )
    checked = chorale_table.check(other, "x.parquet")
    assert checked.schema == chorale_table.SCHEMA
    assert checked["name"].to_pylist() == ["b", "a"]
    assert chorale_table.chords_of(checked)[1].tolist() == [[60, 60, 60, 0]]


GOOD = {"name": ["a"], "split": ["test"], "chords": [[[60, 60, 60, 60]]]}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"name": [None]}, "column 'name' has 1 nulls"),
        ({"split": ["tests"]}, "row 0, a: split 'tests'"),
        ({"chords": [[]]}, "row 0, a: has no chords"),
        ({"chords": [[[60, 60, 60]]]}, "its columns are not those of a chorale table"),
        ({"chords": [[[60, 60, 60, 82]]]}, "row 0, a, chord 0, voice 3: pitch 82"),
        ({"chords": [[[60, 60, -1, 60]]]}, "row 0, a, chord 0, voice 2: pitch -1"),
        ({"chords": [[[60, 60, 99999, 60]]]}, "its columns are not those of a chorale table"),
        ({"chords": [[[60, 60, 60, 60], None]]}, "column 'chords' has nulls"),
        ({"chords": [[[60, 60, 60, None]]]}, "column 'chords' has nulls"),
        ({"chords": ["60"]}, "its columns are not those of a chorale table"),
    ],
)
def test_a_wrong_table_is_a_clear_error(column: dict[str, list[object]], message: str) -> None:
    line = refused(chorale_table.check, pa.table(GOOD | column), "x.parquet")
    assert line.startswith("x.parquet")
    assert message in line


def test_a_table_without_a_column_or_a_chorale_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="no column 'split'"):
        chorale_table.check(pa.table(GOOD).drop_columns("split"), "x.parquet")
    with pytest.raises(UserError, match="has no chorales"):
        chorale_table.check(chorale_table.SCHEMA.empty_table(), "x.parquet")


def unsplit(count: int, split: str | None = None) -> object:
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
    for before in (unsplit(count), unsplit(count, "train")):
        divided = chorale_table.divide(before, split, "data")
        assert Counter(divided["split"].to_pylist()) == expected
        assert sorted(divided["name"].to_pylist()) == sorted(before["name"].to_pylist())
        assert chorale_table.check(divided, "data").equals(divided)
        for row in divided.to_pylist():  # its own chords
            assert row["chords"][0][0] == 40 + int(row["name"].split()[1]) % 40


def test_splits_that_the_source_has_are_not_mixed() -> None:
    rows = [("a", "train", 60), ("b", "valid", 61), ("c", "test", 62), ("d", "valid", 61)]
    own = chorale_table.from_chorales((name, split, np.full((2, 4), p)) for name, split, p in rows)
    with pytest.raises(UserError, match="data: already has splits"):
        chorale_table.divide(own, "80:10:10", "data")
