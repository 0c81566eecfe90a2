"""Which drawings of a folder or file are for training, validation and test."""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import observed
import pyarrow.parquet as pq
import pytest
from drawing_files import (
    CLASSES,
    NAMES,
    UNIT,
    keys,
    line,
    names_of,
    parquet,
    put,
    refused,
    rows_of,
    shard,
)

from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.drawings import SPLITS, Drawings


def test_the_tutorials_shards_split_as_in_the_book(tmp_path: Path) -> None:
    for kind in ("training", "eval"):
        put(tmp_path / f"{kind}.tfrecord.classes", CLASSES)
        for number in range(10):
            put(tmp_path / f"{kind}.tfrecord-{number:05d}-of-00010", shard())
    put(tmp_path / "README.md", "text")
    drawings = open_drawings(str(tmp_path))
    assert drawings.class_names == NAMES
    numbers = {
        split: [int(name[-14:-9]) for name in names_of(drawings, split)]
        for split in drawings.splits
    }
    assert numbers["train"] == list(range(10))
    assert numbers["validation"] == [0, 1, 2, 3, 4]
    assert numbers["test"] == [5, 6, 7, 8, 9]
    assert all(name.startswith("training.") for name in names_of(drawings, "train"))
    assert all(name.startswith("eval.") for name in names_of(drawings, "test"))
    assert len(numbers["all"]) == 20


@pytest.mark.parametrize(("count", "validation"), [(1, 1), (2, 1), (3, 2)])
def test_every_eval_shard_is_in_one_split_whatever_their_number(
    tmp_path: Path, count: int, validation: int
) -> None:
    for number in range(count):
        put(tmp_path / f"eval.tfrecord-{number}", shard())
    drawings = open_drawings(str(tmp_path), class_names=NAMES)
    assert len(drawings.splits["validation"]) == validation
    assert len(drawings.splits["test"]) == count - validation


def prepared(folder: Path) -> Path:
    for first, split in ((0, "train"), (100, "validation"), (200, "test")):
        parquet(folder / split / "part-00000.parquet", 7, first=first)
    return folder


def test_folders_named_for_splits_are_the_splits_once_the_preparation_has_ended(
    tmp_path: Path,
) -> None:
    folder = prepared(tmp_path / "sketches")
    mark = put(folder / "unfinished-preparation.json", "{}")
    for data in (folder, folder / "train"):
        assert "its preparation was interrupted" in refused(data)
    mark.unlink()
    drawings = open_drawings(str(folder))
    for first, split in ((0, "train"), (100, "validation"), (200, "test")):
        (part,) = drawings.splits[split]
        (rows,) = part.tables(origin=False, on_bad=None)
        assert [ink[0] / UNIT for ink in rows["ink"].to_pylist()] == list(range(first, first + 7))


@pytest.mark.parametrize(
    "data", ["train", "train/part-00000.parquet", "train/", "../sketches/train"]
)
def test_one_split_of_a_prepared_folder_can_be_read_by_itself(tmp_path: Path, data: str) -> None:
    folder = prepared(tmp_path / "sketches")
    drawings = open_drawings(f"{folder}/{data}")
    assert len(rows_of(drawings, "all")) == 7


def test_a_folder_above_the_data_that_is_named_for_a_split_means_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    path = put(folder / "x.ndjson", line(1))
    for data in (folder, path):
        drawings = open_drawings(str(data), class_names=NAMES)
        assert len(drawings.splits["train"]) == len(drawings.splits["all"]) == 1


def test_a_file_without_a_splits_name_is_only_in_all(tmp_path: Path) -> None:
    drawings = open_drawings(str(parquet(tmp_path / "x.parquet", 3)))
    assert len(drawings.parts("all")) == 1
    message = observed.refused(drawings.dataset, "train")
    assert re.match(rf"{tmp_path / 'x.parquet'}: no train split, only all; .*eval", message)


def test_every_line_of_ndjson_is_in_one_split_and_stays_there_when_files_are_cut_again(
    tmp_path: Path,
) -> None:
    lines = [line(number) for number in range(1000)]
    put(tmp_path / "one" / "x.ndjson", b"".join(lines))
    np.random.default_rng(0).shuffle(lines)
    for name, chosen in (("a", lines[:50]), ("b", lines[50:600]), ("c.gz", lines[600:])):
        content = b"".join(chosen)
        put(
            tmp_path / "many" / f"{name}.ndjson",
            gzip.compress(content) if "gz" in name else content,
        )
    one, many = (open_drawings(str(tmp_path / x), class_names=NAMES) for x in ("one", "many"))
    splits = {split: keys(one, split) for split in ("train", "validation", "test")}
    assert Counter(chain(*splits.values())) == Counter(keys(one, "all"))
    assert len(set(keys(one, "all"))) == 1000
    # As it always was, so that drawings held out from earlier training stay held out.
    assert splits["train"] == [k for k in keys(one, "all") if zlib.crc32(k.encode()) % 100 < 80]
    for split, expected in (("train", 800), ("validation", 100), ("test", 100)):
        assert abs(len(splits[split]) - expected) < 40
        assert sorted(keys(many, split)) == sorted(splits[split])
        assert sum(part.count() for part in many.splits[split]) == len(splits[split])


@pytest.mark.parametrize("kind", ["ndjson", "parquet"])
def test_copies_of_a_drawing_without_a_key_id_are_in_one_split_however_the_files_lie(
    tmp_path: Path, kind: str
) -> None:
    lines = [nameless(number, "dog" if number % 2 else "cat") for number in range(200)] * 2
    options = {"class_names": NAMES}
    for folder in ("one", "two"):
        put(tmp_path / folder / "a.ndjson", b"".join(lines))
        np.random.default_rng(0).shuffle(lines)
        if kind == "parquet":
            drawings = open_drawings(str(tmp_path / folder), class_names=NAMES)
            rows = rows_of(drawings, "all").select(["ink", "class_index"])
            (tmp_path / folder / "a.ndjson").unlink()
            pq.write_table(rows, tmp_path / folder / "a.parquet")
            options = {"split": "80:10:10"}
    one, two = (open_drawings(str(tmp_path / name), **options) for name in ("one", "two"))
    inks = {split: inks_in(one, split) for split in SPLITS}
    assert sorted(chain(*inks.values())) == sorted(inks_in(one, "all"))
    assert len(inks["train"]) > 300
    for split in SPLITS:
        assert sorted(inks_in(two, split)) == sorted(inks[split])
        others = chain(*(inks[other] for other in SPLITS if other != split))
        assert inks[split]
        assert not set(inks[split]) & set(others)


def nameless(number: int, word: str = "dog") -> bytes:
    """A line without a key_id whose ink no other number has."""
    drawing = [[[0, 255, number], [0, 9, 9]]]
    return json.dumps({"word": word, "drawing": drawing}).encode() + b"\n"


def inks_in(drawings: Drawings, split: str) -> list[bytes]:
    tables = (t for part in drawings.splits[split] for t in part.tables(origin=False, on_bad=None))
    return [ink.tobytes() for rows in tables for ink in sketch_table.inks_of(rows)]


@pytest.mark.parametrize("make", [line, nameless])
@pytest.mark.parametrize(
    ("count", "split", "expected"),
    [
        (1, None, (1, 0, 0)),
        (2, None, (1, 1, 0)),
        (3, None, (1, 1, 1)),
        (9, "80:10:10", (7, 1, 1)),
        (10, "60:40:0", (6, 4)),
        (12, "98:1:1", (10, 1, 1)),
    ],
)
def test_few_drawings_are_divided_exactly_where_hashes_would_leave_a_split_empty(
    tmp_path: Path,
    count: int,
    split: str | None,
    expected: tuple[int, ...],
    make: Callable[[int], bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    copies = [make(number) for number in range(1, count + 1)] * 2  # which count once
    path = put(tmp_path / "x.ndjson", b"".join(copies))
    drawings = open_drawings(str(path), class_names=NAMES, split=split)
    there = [name for name in SPLITS if name in drawings.splits]
    numbers = [inks_in(drawings, name) for name in there]
    out = capsys.readouterr().out
    if "divided by the rank of their hashes" in out:
        assert out.count("\n") == 1
        assert f"so {count} different drawing" in out
        assert tuple(len(each) // 2 for each in numbers) == expected
    else:  # the hashes leave no split empty
        assert all(numbers)
        assert count > 2
    assert sum(map(len, numbers)) == 2 * count
    open_drawings(str(path), class_names=NAMES, split=split, labelled=False)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("split", [None, "80:10:10"])
def test_three_drawings_of_parquet_or_with_words_make_three_splits(
    tmp_path: Path, split: str | None
) -> None:
    for name, count in (("a", 1), ("b", 2)):
        if split is None:
            lines = [line(10 * count + number, name) for number in range(count)]
            put(tmp_path / f"{name}.ndjson", b"".join(lines))
        else:
            parquet(tmp_path / f"{name}.parquet", count, first=10 * count)
    drawings = open_drawings(str(tmp_path), class_names=None if split else ("a", "b"), split=split)
    assert [len(rows_of(drawings, name)) for name in SPLITS] == [1, 1, 1]
    assert sum(part.count() for name in SPLITS for part in drawings.splits[name]) == 3


def test_words_in_folders_of_splits_are_split_by_folder(tmp_path: Path) -> None:
    for first, folder in ((0, "train"), (100, "valid"), (200, "test")):
        content = b"".join(line(first + number) for number in range(100))
        put(tmp_path / folder / "dog.ndjson", content)
    put(tmp_path / "sketches.json", "{}")
    drawings = open_drawings(str(tmp_path), class_names=NAMES)
    for first, split in ((0, "train"), (100, "validation"), (200, "test")):
        assert keys(drawings, split) == [f"key {first + number}" for number in range(100)]


def ink_numbers(drawings: Drawings, split: str) -> list[int]:
    return [int(ink[0][0] / UNIT) for ink in sketch_table.inks_of(rows_of(drawings, split))]


def test_drawings_without_splits_are_divided_by_their_ink_however_the_files_lie(
    tmp_path: Path,
) -> None:
    parquet(tmp_path / "one/a.parquet", 1000)
    parquet(tmp_path / "two/a.parquet", 500, first=500)
    parquet(tmp_path / "two/b.parquet", 500)
    one, two = (open_drawings(str(tmp_path / name), split="70:20:10") for name in ("one", "two"))
    found = {split: ink_numbers(one, split) for split in ("train", "validation", "test")}
    assert sorted(chain(*found.values())) == list(range(1000))
    for split, expected in (("train", 700), ("validation", 200), ("test", 100)):
        assert abs(len(found[split]) - expected) < 60
        assert sorted(ink_numbers(two, split)) == sorted(found[split])
        assert sum(part.count() for part in one.splits[split]) == len(found[split])


def test_ndjson_is_divided_in_other_shares_where_they_are_given(tmp_path: Path) -> None:
    put(tmp_path / "a.ndjson", b"".join(map(line, range(300))))
    drawings = open_drawings(str(tmp_path), class_names=NAMES, split="50:50:0")
    counts = [len(keys(drawings, split)) for split in ("train", "validation")]
    assert sum(counts) == 300
    assert abs(counts[0] - 150) < 40
    assert not drawings.splits.get("test")


@pytest.mark.parametrize("data", ["demo", "demo:300", "quickdraw", None])
def test_splits_that_the_source_has_are_not_mixed(tmp_path: Path, data: str | None) -> None:
    parquet(tmp_path / "train.parquet", 2)
    parquet(tmp_path / "test.parquet", 2)
    assert "already has splits" in refused(data or tmp_path, split="80:10:10")
