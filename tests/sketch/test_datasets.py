import gzip
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem

from rnnray.errors import UserError, find_user_error
from rnnray.sketch import demo, formats, scans, table
from rnnray.sketch.bad_records import BadRecords, counted
from rnnray.sketch.config import SketchConfig
from rnnray.sketch.data import balancing_weights, has_drawings, identity, training_data
from rnnray.sketch.datasets import check_same_classes, open_drawings
from rnnray.sketch.drawings import SPLITS, DemoPart, Drawings
from rnnray.sketch.tfrecord_file import write_record

NAMES = ("cat", "dog", "star")
UNIT = 2.0**-14  # steps of ink are at most 1
CLASSES = "".join(f"{name}\n" for name in NAMES)


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shard(records: int = 2) -> bytes:
    """Records whose payloads are no drawings: enough where none is parsed."""
    stream = io.BytesIO()
    for number in range(records):
        write_record(stream, f"record {number} of a shard".encode())
    return stream.getvalue()


def parquet(path: Path, count: int, names: tuple[str, ...] = NAMES, first: int = 0) -> Path:
    """A file of drawings that know their number: their first step, in `UNIT`."""
    inks = [np.array([[(first + i) * UNIT, 0, 1]], np.float32) for i in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.from_inks(inks, [i % 3 for i in range(count)], names), path)
    return path


def line(number: int, word: str = "dog", key_id: str | None = "") -> bytes:
    key = f"key {number}" if key_id == "" else key_id
    fields = {"word": word, "key_id": key, "drawing": [[[0, 1 + number], [0, 9]]]}
    return json.dumps(fields).encode() + b"\n"


def names_of(drawings: Drawings, split: str) -> list[str]:
    return [Path(part.path).name for part in drawings.splits[split]]


def refused(data: Path | str, **options) -> str:
    """The error of opening it; one line."""
    with pytest.raises(UserError) as caught:
        open_drawings(str(data), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows_of(drawings: Drawings, split: str) -> pa.Table:
    """What the parts of a split hold, read in this process."""
    tables = [t for part in drawings.splits[split] for t in part.tables(origin=True, on_bad=None)]
    return pa.concat_tables(tables)


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


def test_the_real_sample_opens_with_its_splits_and_345_classes(sample: Path) -> None:
    drawings = open_drawings(str(sample))
    assert len(drawings.class_names) == 345
    assert {split: len(parts) for split, parts in drawings.splits.items()} == {
        "train": 10,
        "validation": 5,
        "test": 5,
        "all": 20,
    }
    assert sum(part.count() for part in drawings.splits["validation"]) == 8625


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
        assert "its preparation did not end" in refused(data)
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
    with pytest.raises(UserError, match=r"no train split, only all; .*eval") as caught:
        drawings.dataset("train")
    assert str(caught.value).startswith(f"{tmp_path / 'x.parquet'}: ")


def keys(drawings: Drawings, split: str) -> list[str]:
    return rows_of(drawings, split)["key_id"].to_pylist()


def test_every_line_of_ndjson_is_in_one_split_and_stays_there_when_files_are_cut_anew(
    tmp_path: Path,
) -> None:
    lines = [line(number) for number in range(2000)]
    put(tmp_path / "one" / "x.ndjson", b"".join(lines))
    np.random.default_rng(0).shuffle(lines)
    for name, chosen in (("a", lines[:50]), ("b", lines[50:1200]), ("c.gz", lines[1200:])):
        content = b"".join(chosen)
        put(
            tmp_path / "many" / f"{name}.ndjson",
            gzip.compress(content) if "gz" in name else content,
        )
    one, many = (open_drawings(str(tmp_path / x), class_names=NAMES) for x in ("one", "many"))
    splits = {split: keys(one, split) for split in ("train", "validation", "test")}
    assert Counter(chain(*splits.values())) == Counter(keys(one, "all"))
    assert len(set(keys(one, "all"))) == 2000
    for split, expected in (("train", 1600), ("validation", 200), ("test", 200)):
        assert abs(len(splits[split]) - expected) < 60
        assert sorted(keys(many, split)) == sorted(splits[split])
        assert sum(part.count() for part in many.splits[split]) == len(splits[split])


def test_lines_without_a_number_of_their_own_are_in_one_split_too(tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", b"".join(line(i, key_id=None) for i in range(200)))
    drawings = open_drawings(str(path), class_names=NAMES)
    rows = [rows_of(drawings, s)["row"].to_pylist() for s in ("train", "validation", "test")]
    assert sorted(chain(*rows)) == list(range(200))
    assert all(rows)


def test_nothing_to_read_is_a_clear_error(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing").startswith(f"{tmp_path / 'missing'}: no such file")
    assert "has no files" in refused(tmp_path)
    put(tmp_path / "README.md", "text")
    put(tmp_path / "x.classes", CLASSES)
    assert "no file in it holds drawings; known are TFRecords, Parquet" in refused(tmp_path)
    put(tmp_path / "empty" / "x.tfrecord", b"")
    assert "an empty file" in refused(tmp_path / "empty" / "x.tfrecord")
    put(tmp_path / "empty" / "y.tfrecord", b"")
    assert "all its files are empty" in refused(tmp_path / "empty")


def test_what_holds_no_drawings_is_passed_over_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "a.ndjson", line(1))
    put(tmp_path / "deep" / "b.ndjson", line(2))
    others = {
        "LICENSE": b"Apache",
        "README": b"hello",
        "Thumbs.db": b"\xd0\xcf\x11\xe0",
        "config.json": b'{"a": 1}',
        "deep/cat.png": b"\x89PNG\r\n\x1a\n",
        "meta.csv": b"file,word\na.ndjson,cat\n",
        "old.pkl": b"\x80\x04K\x01.",
    }
    for name, content in others.items():
        put(tmp_path / name, content)
    drawings = open_drawings(str(tmp_path), class_names=NAMES)
    assert names_of(drawings, "all") == ["a.ndjson", "b.ndjson"]
    assert list(drawings.passed_over) == sorted(others)
    assert drawings.say_passed_over() == 7
    assert "passed over 7 files that hold no drawings: LICENSE, README, " in capsys.readouterr().out


def test_two_formats_in_one_folder_are_a_clear_error(tmp_path: Path) -> None:
    put(tmp_path / "a.ndjson", line(1))
    put(tmp_path / "b.tfrecord", shard())
    message = refused(tmp_path)
    assert "mixes formats: a.ndjson is ndjson, b.tfrecord is tfrecords" in message


def test_shards_without_a_class_list_say_what_to_put_where(tmp_path: Path) -> None:
    path = put(tmp_path / "training.tfrecord-00000-of-00001", shard())
    for data in (tmp_path, path):
        assert "no class list; put the class names, one a line" in refused(data)
        assert open_drawings(str(data), class_names=NAMES).class_names == NAMES


def test_the_class_list_beside_one_shard_is_found_and_those_elsewhere_are_not(
    tmp_path: Path,
) -> None:
    path = put(tmp_path / "training.tfrecord-00000-of-00001", shard())
    put(tmp_path / "training.tfrecord.classes", CLASSES)
    put(tmp_path / "other" / "x.tfrecord.classes", "moon\n")
    assert open_drawings(str(path)).class_names == NAMES


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (CLASSES, NAMES),
        ("cat\r\nthe Eiffel Tower\r\n\r\n", ("cat", "the Eiffel Tower")),
        ("Gemälde", ("Gemälde",)),
        ("\ufeffcat\ndog\n", ("cat", "dog")),
    ],
)
def test_a_class_list_is_one_name_a_line(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    put(tmp_path / "x.tfrecord", shard())
    put(tmp_path / "x.tfrecord.classes", text)
    assert open_drawings(str(tmp_path)).class_names == names


@pytest.mark.parametrize("text", ["", "\n \n", "cat\ndog\ncat\n"])
def test_an_empty_class_list_or_one_with_a_name_twice_is_a_clear_error(
    tmp_path: Path, text: str
) -> None:
    put(tmp_path / "x.tfrecord", shard())
    path = put(tmp_path / "x.tfrecord.classes", text)
    assert refused(tmp_path).startswith(f"{path}: a class list has each name once")


def test_class_lists_that_contradict_are_a_clear_error(tmp_path: Path) -> None:
    put(tmp_path / "x" / "training.tfrecord", shard())
    put(tmp_path / "x" / "training.tfrecord.classes", "cat\ndog\n")
    put(tmp_path / "x" / "eval.tfrecord.classes", "dog\ncat\n")
    parquet(tmp_path / "y" / "a.parquet", 3)
    parquet(tmp_path / "y" / "b.parquet", 3, names=("cat", "dog"))
    for folder in ("x", "y"):
        message = refused(tmp_path / folder)
        assert message.count(str(tmp_path / folder)) == 2  # both files are named
        assert "different class lists" in message


def test_the_class_list_that_checkpoints_have_is_found(tmp_path: Path) -> None:
    put(tmp_path / "training.tfrecord", shard())
    put(tmp_path / "classes.txt", CLASSES)
    assert open_drawings(str(tmp_path)).class_names == NAMES


def test_the_same_classes_in_another_order_are_mapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = parquet(tmp_path / "x.parquet", 4)
    drawings = open_drawings(str(path), class_names=("star", "cat", "dog"))
    assert "in another order; mapped" in capsys.readouterr().out
    check_same_classes(drawings, ("star", "cat", "dog"), "the checkpoint")
    rows = rows_of(drawings, "all")
    assert rows["class_index"].to_pylist() == [1, 2, 0, 1]
    assert rows["true_class"].to_pylist() == ["cat", "dog", "star", "cat"]
    assert table.class_names_of(rows.schema) == ("star", "cat", "dog")


def test_shards_scored_with_the_checkpoints_own_classes_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "x.tfrecord", shard())
    open_drawings(str(tmp_path), class_names=NAMES)
    assert "no class list; its class_index is read as the checkpoint's own" in (
        capsys.readouterr().out
    )


def test_words_in_folders_of_splits_are_split_by_folder(tmp_path: Path) -> None:
    for first, folder in ((0, "train"), (100, "valid"), (200, "test")):
        content = b"".join(line(first + number) for number in range(100))
        put(tmp_path / folder / "dog.ndjson", content)
    put(tmp_path / "sketches.json", "{}")
    drawings = open_drawings(str(tmp_path), class_names=NAMES)
    for first, split in ((0, "train"), (100, "validation"), (200, "test")):
        assert keys(drawings, split) == [f"key {first + number}" for number in range(100)]


def test_data_of_other_classes_than_the_checkpoints_are_a_clear_error() -> None:
    drawings = Drawings("data", NAMES, {})
    check_same_classes(drawings, list(NAMES), "the checkpoint")
    with pytest.raises(UserError) as caught:
        check_same_classes(drawings, ("cat", "fish", "star"), "the checkpoint x")
    assert str(caught.value) == (
        "data has 3 classes and the checkpoint x 3, not the same list; "
        "the first difference is class 1: 'dog' and 'fish'"
    )
    for other in (NAMES[:2], (*NAMES, "sun")):
        with pytest.raises(UserError, match=f"3 classes and it {len(other)}, not the same list"):
            check_same_classes(drawings, other, "it")


@pytest.mark.parametrize("count", ["0", "29", "-100", "1e3", "many", "1000.0", " 40"])
def test_a_number_of_demo_drawings_that_is_none_is_a_clear_error(count: str) -> None:
    assert "a whole number of drawings from 30 up" in refused(f"demo:{count}")


@given(st.integers(30, 30_000))
def test_demo_gives_as_many_drawings_as_asked_and_a_tenth_for_each_check(count: int) -> None:
    drawings = open_drawings(f"demo:{count}")
    numbers = {
        split: [n for part in parts for n in range(part.start, part.start + part.length)]
        for split, parts in drawings.splits.items()
    }
    assert len(numbers["train"]) == count
    assert len(numbers["validation"]) == len(numbers["test"]) == count // 10
    assert len(set(numbers["all"])) == len(numbers["all"]) == count + 2 * (count // 10)
    assert set(numbers["all"]) == {*numbers["train"], *numbers["validation"], *numbers["test"]}
    assert drawings.count("train") == count  # needs no cluster


def test_demo_drawings_are_those_of_the_generator() -> None:
    drawings = open_drawings("demo:100")
    assert drawings.class_names == demo.CLASS_NAMES
    rows = rows_of(drawings, "train")
    expected = table.from_arrays(*demo.inks(100, seed=0, start=20), demo.CLASS_NAMES)
    assert rows["ink"].combine_chunks().equals(expected["ink"].combine_chunks())
    assert rows["row"].to_pylist() == list(range(20, 120))
    assert open_drawings("demo").count("train") == 12_000


def collected(drawings: Drawings, split: str, **options) -> pa.Table:
    """What comes out of Ray Data, in its order."""
    batches = drawings.dataset(split, **options).iter_batches(
        batch_size=None, batch_format="pyarrow"
    )
    return pa.concat_tables(list(batches))


@pytest.mark.usefixtures("ray_cluster")
def test_every_drawing_comes_out_of_ray_once_and_in_order(tmp_path: Path) -> None:
    for file, (first, count) in enumerate(((0, 5000), (5000, 1), (5001, 4999))):
        parquet(tmp_path / f"{file}.parquet", count, first=first)
    drawings = open_drawings(str(tmp_path))
    rows = collected(drawings, "all", origin=True)
    assert [ink[0] / UNIT for ink in rows["ink"].to_pylist()] == list(range(10_000))
    assert rows["row"].to_pylist() == [*range(5000), 0, *range(4999)]
    assert Counter(Path(file).name for file in rows["file"].to_pylist()) == {
        "0.parquet": 5000,
        "1.parquet": 1,
        "2.parquet": 4999,
    }
    assert table.class_names_of(rows.schema) == NAMES
    assert drawings.count("all") == 10_000
    assert collected(drawings, "all").column_names == ["ink", "class_index"]


@pytest.mark.usefixtures("ray_cluster")
def test_without_a_class_list_the_words_of_all_files_are_the_classes(tmp_path: Path) -> None:
    put(tmp_path / "a.ndjson", line(1, "star") + line(2, "cat"))
    put(tmp_path / "b.ndjson", line(3, "dog") + line(4, "cat"))
    drawings = open_drawings(str(tmp_path))
    assert drawings.class_names == ("cat", "dog", "star")
    assert collected(drawings, "all")["class_index"].to_pylist() == [2, 0, 1, 0]
    nameless = json.dumps({"drawing": [[[0, 1], [0, 1]]]})
    assert "no drawing says its word" in refused(put(tmp_path / "c" / "c.ndjson", nameless))


@pytest.mark.usefixtures("ray_cluster")
def test_a_bad_record_in_a_task_of_the_cluster_reaches_the_user_as_one_line(tmp_path: Path) -> None:
    damaged = bytearray(shard(3))
    damaged[-5] ^= 1
    path = put(tmp_path / "training.tfrecord-00000-of-00001", bytes(damaged))
    drawings = open_drawings(str(path), class_names=NAMES)
    with pytest.raises(Exception, match="damaged record") as caught:
        drawings.dataset("train").materialize()
    message = str(find_user_error(caught.value))
    assert message.startswith(f"{path}: damaged record (wrong checksum of the payload) at byte ")
    assert "\n" not in message
    assert drawings.count("train") == 2  # counting leaves it out, as reading with skip does


@pytest.mark.usefixtures("ray_cluster")
def test_bad_records_count_once_however_often_they_are_read(tmp_path: Path) -> None:
    content = line(1) + b"{\n" + line(2) + line(3, "unicorn") + line(4)
    path = put(tmp_path / "x.ndjson", content)
    bad = BadRecords()
    drawings = open_drawings(str(path), class_names=NAMES, on_bad=bad)
    for _epoch in range(2):
        assert len(collected(drawings, "all")) == 3
    count, messages = bad.messages()
    assert count == bad.count == 2
    assert [message.split(": ")[0] for message in messages] == [f"{path}:2", f"{path}:4"]


@pytest.mark.usefixtures("ray_cluster")
def test_the_user_is_told_what_was_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    with counted("skip") as bad:
        for number in range(7):
            bad(UserError(f"x.ndjson:{number}: broken"))
    told = capsys.readouterr().out.splitlines()
    assert "skipped 7 drawings" in told[0]
    assert [text.split("x.ndjson:")[1] for text in told[1:6]] == [f"{n}: broken" for n in range(5)]
    assert told[6].endswith("and 2 more")
    with counted("error") as none:
        assert none is None
    assert capsys.readouterr().out == ""


def ink_numbers(drawings: Drawings, split: str) -> list[int]:
    return [int(ink[0][0] / UNIT) for ink in table.inks_of(rows_of(drawings, split))]


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
    assert "has splits of its own" in refused(data or tmp_path, split="80:10:10")


@pytest.mark.usefixtures("ray_cluster")
def test_an_empty_split_is_said_before_training_and_what_the_data_are_is_known(
    tmp_path: Path,
) -> None:
    parquet(tmp_path / "sub/train.parquet", 7)
    parquet(tmp_path / "validation.parquet", 0)
    parquet(tmp_path / "test.parquet", 2)
    drawings = open_drawings(str(tmp_path))
    with pytest.raises(UserError, match=r"no drawings in the validation split; --split 80:10:10"):
        training_data(drawings, SketchConfig())
    assert [has_drawings(drawings, s) for s in ("validation", "test")] == [False, True]
    assert identity(drawings, 7) == {
        "classes": list(NAMES),
        "training_drawings": 7,
        "file_bytes": {
            str(path.relative_to(tmp_path)): path.stat().st_size
            for path in tmp_path.rglob("*.parquet")
        },
    }


@dataclass(frozen=True)
class LatePart(DemoPart):
    """The first drawings come last."""

    def tables(self, **options: Any) -> Iterator[pa.Table]:
        time.sleep(0 if self.start else 2)
        yield from super().tables(**options)


@pytest.mark.usefixtures("ray_cluster")
def test_drawings_keep_the_order_of_their_parts_whichever_is_read_first() -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    parts = tuple(LatePart(start, 10) for start in range(0, 40, 10))
    # As where only some nodes have the files: all tasks on the nodes that are named.
    node = ray.get_runtime_context().get_node_id()
    there = {"label_selector": {"ray.io/node-id": f"in({node})"}}
    drawings = Drawings("late", demo.CLASS_NAMES, {"all": parts}, reading=there)
    tables = drawings.dataset("all", origin=True).iter_batches(
        batch_size=None, batch_format="pyarrow"
    )
    assert list(chain(*(table["row"].to_pylist() for table in tables))) == list(range(40))


def test_drawings_that_were_not_recognised_can_be_left_out(tmp_path: Path) -> None:
    lines = [
        line(number)[:-2] + b', "recognized": %s}\n' % (b"false" if number % 3 == 0 else b"true")
        for number in range(300)
    ]
    put(tmp_path / "dog.ndjson", b"".join(lines) + line(300))  # one that does not say
    options = {"class_names": NAMES, "recognized_only": True}
    drawings = open_drawings(str(tmp_path), **options)
    kept = [f"key {number}" for number in range(301) if number % 3 or number == 300]
    assert rows_of(drawings, "all")["key_id"].to_pylist() == kept
    parts = [rows_of(drawings, split)["key_id"].to_pylist() for split in SPLITS]
    assert sorted(chain(*parts)) == sorted(kept)
    parquet(tmp_path / "folder" / "x.parquet", 1)
    assert "do not say what was recognised" in refused(tmp_path / "folder", **options)


def test_csv_and_hugging_face_s_parquet_say_too_what_was_not_recognised(tmp_path: Path) -> None:
    drawing = [[[0, 100, 200, 255], [9, 0, 180, 180]]]
    said = [True, False, None, True]
    rows = "".join(f'"{drawing}",dog,{"" if each is None else each}\n' for each in said)
    put(tmp_path / "csv" / "train.csv", f"drawing,word,recognized\n{rows}")
    columns = {"drawing": [drawing] * 4, "word": ["dog"] * 4, "recognized": said}
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "parquet" / "x.parquet")
    for folder in ("csv", "parquet"):
        drawings = open_drawings(str(tmp_path / folder), class_names=NAMES, recognized_only=True)
        assert len(rows_of(drawings, "all")) == 3


def test_an_empty_word_is_no_class(tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", line(0) + line(1, word="") + line(2, word=" "))
    found = formats.read_drawings(LocalFileSystem(), str(path), "ndjson")
    assert set(scans.scan(found, []).words) == {"dog"}
    drawings = open_drawings(str(path), class_names=NAMES)
    with pytest.raises(UserError, match=r"x\.ndjson:2: it has no word: it can be classified"):
        rows_of(drawings, "all")


@pytest.mark.usefixtures("ray_cluster")
def test_few_drawings_of_a_class_count_as_much_as_many_where_that_is_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "drawings"
    for split, counts in (("train", (300, 6, 6)), ("validation", (2, 1, 0))):
        classes = np.repeat(np.arange(3), counts).tolist()
        inks = [np.array([[1, 1, 1]], np.float32)] * len(classes)
        (folder / split).mkdir(parents=True)
        pq.write_table(table.from_inks(inks, classes, NAMES), folder / split / "x.parquet")
    put(folder / "sketches.json", "{}")
    data = training_data(open_drawings(str(folder)), SketchConfig(class_weights="balanced"))
    rows = data.training.table(0)
    weights = table.weights_of(rows)
    classes = rows["class_index"].to_numpy()
    assert np.bincount(classes, weights) == pytest.approx([104, 104, 104], rel=1e-5)
    rows = data.validation.table(0)
    assert table.weights_of(rows).tolist() == [1, 1, 1]  # every drawing counts once there
    assert balancing_weights(np.array([4, 0, 4])).tolist() == [1, 4, 1]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("by_class", [True, False])
def test_drawings_that_stay_sorted_by_class_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by_class: bool
) -> None:
    ink = np.array([[1, 1, 1]], np.float32)
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        for number in range(3):
            classes = [number] * 60 if by_class else [0, 1, 2] * 20
            drawn = table.from_inks([ink] * 60, classes, NAMES)
            pq.write_table(drawn, tmp_path / split / f"{number}.parquet")
    for rows, told in ((0, by_class), (16_384, False)):
        training_data(open_drawings(str(tmp_path)), SketchConfig(shuffle_rows=rows))
        assert ("3 of 3 stretches" in capsys.readouterr().out) == told
