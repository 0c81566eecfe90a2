"""Opening drawings: what is read, what is passed over, what is refused."""

import io
import json
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawing_files import CLASSES, NAMES, line, names_of, parquet, put, refused, rows_of, shard
from hypothesis import given
from hypothesis import strategies as st

from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.drawings import SPLITS


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


def test_nothing_to_read_is_a_clear_error(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing").startswith(f"{tmp_path / 'missing'}: no such file")
    assert "has no files" in refused(tmp_path)
    put(tmp_path / "README.md", "text")
    put(tmp_path / "x.classes", CLASSES)
    assert "no file in it holds drawings; known formats: TFRecords, Parquet" in refused(tmp_path)
    put(tmp_path / "empty" / "x.tfrecord", b"")
    assert "an empty file" in refused(tmp_path / "empty" / "x.tfrecord")
    put(tmp_path / "empty" / "y.tfrecord", b"")
    assert "all its files are empty" in refused(tmp_path / "empty")


def test_files_with_y_upwards_are_turned_over_when_that_is_said(tmp_path: Path) -> None:
    drawing = [[[0, 255, 100], [0, 30, 200]], [[40, 90], [200, 100]]]
    inks = []
    for top in (0, 200):
        strokes = [[xs, [abs(top - y) for y in ys]] for xs, ys in drawing]
        file = put(tmp_path / f"{top}.ndjson", json.dumps({"word": "dog", "drawing": strokes}))
        opened = open_drawings(str(file), class_names=["dog"], y_up=top > 0)
        inks += sketch_table.inks_of(rows_of(opened, "all"))
    np.testing.assert_allclose(inks[1], inks[0], atol=1e-6)
    assert "leave y_up out" in refused("demo", y_up=True)

    parquet(tmp_path / "some.parquet", 5)
    some = rows_of(open_drawings(str(tmp_path / "some.parquet")), "all")
    for slice_of in (some, some.slice(1, 3)):
        twice = sketch_table.turned_over(sketch_table.turned_over(slice_of))
        assert twice.equals(slice_of)


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


def zipped(*files: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return stream.getvalue()


def test_images_and_empty_files_beside_drawings_of_another_format_are_passed_over(
    tmp_path: Path,
) -> None:
    image = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0 L9 9"/></svg>'
    put(tmp_path / "data" / "a.ndjson", line(1))
    put(tmp_path / "data" / "empty.parquet", b"")
    put(tmp_path / "data" / "logo.svg", image)
    drawings = open_drawings(str(tmp_path / "data"), class_names=NAMES)
    assert names_of(drawings, "all") == ["a.ndjson"]
    assert drawings.passed_over == ("empty.parquet", "logo.svg")

    put(tmp_path / "x.zip", zipped(("d/a.ndjson", line(1)), ("d/logo.svg", image)))
    drawings = open_drawings(str(tmp_path / "x.zip"), class_names=NAMES)
    assert len(rows_of(drawings, "all")) == 1
    assert drawings.passed_over == ("d/logo.svg",)
    put(tmp_path / "y.zip", zipped(("dog/1.svg", image), ("dog/2.SVG", image), ("README", image)))
    drawings = open_drawings(str(tmp_path / "y.zip"), class_names=NAMES)
    assert len(rows_of(drawings, "all")) == 2
    assert drawings.passed_over == ("README",)


def test_what_is_passed_over_in_an_archive_is_named_and_an_archive_of_other_things_as_a_whole(
    tmp_path: Path,
) -> None:
    readme = ("README.txt", b"hello")
    put(tmp_path / "a.zip", zipped(("d/a.ndjson", line(1)), readme))
    put(tmp_path / "code.zip", zipped(("x.npz", zipped(readme)), readme))
    drawings = open_drawings(str(tmp_path), class_names=NAMES)
    assert names_of(drawings, "all") == ["a.zip"]
    assert drawings.passed_over == ("a.zip/README.txt", "code.zip")
    assert "code.zip/x.npz: " in refused(tmp_path / "code.zip")
    put(tmp_path / "a.zip", zipped(("a.ndjson", line(1)), ("more.zip", zipped(readme))))
    assert "has an archive in it, more.zip; unpack it first" in refused(tmp_path)


def test_two_formats_in_one_folder_are_a_clear_error(tmp_path: Path) -> None:
    put(tmp_path / "a.ndjson", line(1))
    put(tmp_path / "b.tfrecord", shard())
    message = refused(tmp_path)
    assert "mixes formats: a.ndjson is ndjson, b.tfrecord is tfrecords" in message


@pytest.mark.parametrize("count", ["0", "29", "-100", "1e3", "many", "1000.0", " 40"])
def test_a_number_of_demo_drawings_that_is_none_is_a_clear_error(count: str) -> None:
    assert "a whole number of drawings, at least 30" in refused(f"demo:{count}")


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
    assert drawings.class_names == demo_drawings.CLASS_NAMES
    rows = rows_of(drawings, "train")
    expected = sketch_table.from_arrays(
        *demo_drawings.inks(100, seed=0, start=20), demo_drawings.CLASS_NAMES
    )
    assert rows["ink"].combine_chunks().equals(expected["ink"].combine_chunks())
    assert rows["row"].to_pylist() == list(range(20, 120))
    assert open_drawings("demo").count("train") == 12_000


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
    assert "do not say whether they were recognised" in refused(tmp_path / "folder", **options)


@pytest.mark.parametrize(
    "said",
    [
        [True, False, None],
        [1, 0, None],
        [1.0, 0.0, None],
        ["Yes", "no", ""],
        ["TRUE", "False", None],
        ["1", " 0 ", "unknown"],
    ],
)
def test_every_format_says_in_any_common_form_what_was_not_recognised(
    tmp_path: Path, said: list[Any]
) -> None:
    drawing = [[[0, 100, 200, 255], [9, 0, 180, 180]]]
    fields = [{"drawing": drawing, "word": "dog", "recognized": each} for each in said]
    text = "".join(f"{json.dumps(each)}\n" for each in fields)
    put(tmp_path / "ndjson" / "x.ndjson", text)
    put(tmp_path / "json" / "x.json", json.dumps(fields))
    rows = "".join(f'"{drawing}",dog,{"" if each is None else each}\n' for each in said)
    put(tmp_path / "csv" / "train.csv", f"drawing,word,recognized\n{rows}")
    columns = {"drawing": [drawing] * 3, "word": ["dog"] * 3, "recognized": said}
    for name, more in (
        ("parquet", {}),
        ("text", {"drawing": [json.dumps(drawing)] * 3}),
    ):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns | more), tmp_path / name / "x.parquet")
    for folder in ("ndjson", "json", "csv", "parquet", "text"):
        drawings = open_drawings(str(tmp_path / folder), class_names=NAMES, recognized_only=True)
        assert rows_of(drawings, "all")["row"].to_pylist()[1:] in ([2], [3], [4]), folder


def test_drawings_of_which_none_says_whether_it_was_recognised_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", line(1) + line(2))
    message = refused(path, class_names=NAMES, recognized_only=True)
    assert message == f"{path}: its drawings do not say whether they were recognised"
