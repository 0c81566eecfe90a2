"""Where the names of the classes come from."""

import json
import zipfile
from pathlib import Path

import observed
import pytest
from drawing_files import CLASSES, NAMES, collected, line, parquet, put, refused, rows_of, shard
from pyarrow.fs import LocalFileSystem

from rnnray.errors import UserError
from rnnray.sketch.data import formats, scans, sketch_table
from rnnray.sketch.data.datasets import check_same_classes, open_drawings
from rnnray.sketch.data.drawings import Drawings


def test_shards_without_a_class_list_say_what_to_put_where(tmp_path: Path) -> None:
    path = put(tmp_path / "training.tfrecord-00000-of-00001", shard())
    for data in (tmp_path, path):
        assert "no class list; write the class names, one a line" in refused(data)
        assert open_drawings(str(data), class_names=NAMES).class_names == NAMES


def test_the_class_list_beside_one_shard_is_found_and_those_elsewhere_are_not(
    tmp_path: Path,
) -> None:
    path = put(tmp_path / "training.tfrecord-00000-of-00001", shard())
    put(tmp_path / "training.tfrecord.classes", CLASSES)
    put(tmp_path / "other" / "x.tfrecord.classes", "moon\n")
    assert open_drawings(str(path)).class_names == NAMES


def test_the_class_list_of_shards_in_an_archive_is_found_in_it(tmp_path: Path) -> None:
    path = tmp_path / "shards.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "test"):
            archive.writestr(f"d/{split}/x.tfrecord-00000-of-00001", shard())
        archive.writestr("d/x.tfrecord.classes", CLASSES)
    drawings = open_drawings(str(path))
    assert drawings.class_names == NAMES
    assert [len(drawings.splits[split]) for split in ("train", "test", "all")] == [1, 1, 2]
    assert not drawings.passed_over
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("d/other.classes", b"\xff\xfe")
    assert "shards.zip/d/other.classes: a class list must be UTF-8" in refused(path)


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
    assert refused(tmp_path).startswith(f"{path}: a class list needs at least one name")


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
    assert sketch_table.class_names_of(rows.schema) == ("star", "cat", "dog")


def test_shards_scored_with_the_checkpoints_own_classes_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "x.tfrecord", shard())
    open_drawings(str(tmp_path), class_names=NAMES)
    assert "no class list; its class_index is read as the checkpoint's own" in (
        capsys.readouterr().out
    )


def test_data_of_other_classes_than_the_checkpoints_are_a_clear_error() -> None:
    drawings = Drawings("data", NAMES, {})
    check_same_classes(drawings, list(NAMES), "the checkpoint")
    for other, more in (
        (("cat", "fish", "star"), "; the first difference is class 1: 'dog' and 'fish'"),
        (NAMES[:2], ""),
        ((*NAMES, "sun"), ""),
    ):
        line = observed.refused(check_same_classes, drawings, other, "the checkpoint x")
        counts = f"data has 3 classes and the checkpoint x has {len(other)}"
        assert line.startswith(f"{counts}: their lists differ{more}")


@pytest.mark.usefixtures("ray_cluster")
def test_without_a_class_list_the_words_of_all_files_are_the_classes(tmp_path: Path) -> None:
    put(tmp_path / "a.ndjson", line(1, "star") + line(2, "cat"))
    put(tmp_path / "b.ndjson", line(3, "dog") + line(4, "cat"))
    drawings = open_drawings(str(tmp_path))
    assert drawings.class_names == ("cat", "dog", "star")
    assert collected(drawings, "all")["class_index"].to_pylist() == [2, 0, 1, 0]
    nameless = json.dumps({"drawing": [[[0, 1], [0, 1]]]})
    assert "no drawing has a word" in refused(put(tmp_path / "c" / "c.ndjson", nameless))


def test_an_empty_word_is_no_class(tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", line(0) + line(1, word="") + line(2, word=" "))
    found = formats.read_drawings(LocalFileSystem(), str(path), "ndjson")
    assert set(scans.scan(found, []).words) == {"dog"}
    drawings = open_drawings(str(path), class_names=NAMES)
    with pytest.raises(UserError, match=r"x\.ndjson:2: it has no word: it can be classified"):
        rows_of(drawings, "all")
