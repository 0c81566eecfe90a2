import gzip
import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawing_files import NAMES, drawings, line, shard
from hypothesis import given
from hypothesis import strategies as st
from observed import refused
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data import formats, scans, sketch_table

DISK = fs.LocalFileSystem()


def lines(count: int) -> bytes:
    return b"".join(line(number) for number in range(1, count + 1))


def parquet(rows: pa.Table, **options) -> bytes:
    stream = io.BytesIO()
    pq.write_table(rows, stream, write_page_checksum=True, **options)
    return stream.getvalue()


def put(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def read(path: str, **options) -> pa.Table:
    """All of a file, as a job reads it: the format by detection."""
    found = formats.detect(DISK, path)
    tables = formats.read_tables(DISK, path, found, NAMES, **options)
    return pa.concat_tables(
        [sketch_table.schema(NAMES).empty_table(), *tables], promote_options="default"
    )


def reported(path: str, **options) -> tuple[pa.Table, list[str]]:
    """What is read, and what is reported, when bad drawings may be skipped."""
    errors: list[str] = []
    rows = read(path, on_bad=lambda error: errors.append(str(error)), **options)
    assert all(error.startswith(path) and "\n" not in error for error in errors)
    return rows, errors


def raised(path: str) -> str:
    message = refused(read, path)
    assert message.startswith(path)
    return message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        # By content, whatever the name.
        ("drawings.bin", shard(1), "tfrecords"),
        ("drawings.ndjson", gzip.compress(shard(1)), "tfrecords"),
        ("drawings.tfrecord", parquet(drawings(1)), "parquet"),
        ("drawings.txt", line(1), "ndjson"),
        ("drawings", b"\n \t" + line(1), "ndjson"),
        ("drawings.gz", gzip.compress(line(1)), "ndjson"),
        # By name, where the content does not tell.
        ("training.tfrecord-00000-of-00010", b"\x01" + shard(1)[1:], "tfrecords"),
        ("x.tfrecord.gz", gzip.compress(shard(1))[:12], "tfrecords"),
        ("x.tfrecord", b"", "tfrecords"),
        ("x.ndjson", b"", "ndjson"),
        ("x.ndjson", b"word: cat", "ndjson"),
        ("x.ndjson.gz", b"\x1f\x8b damaged", "ndjson"),
        ("x.parquet", b"\x00" + parquet(drawings(1))[1:], "parquet"),
        ("x.parquet", b"", "parquet"),
    ],
)
def test_the_format_is_told_by_content_and_then_by_name(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    assert formats.detect(DISK, put(tmp_path / name, content)) == expected


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"hello", b"\x1f\x8b"]
)
@pytest.mark.parametrize("folder", ["data", "my.tfrecords", "x.ndjson", "x.parquet"])
def test_a_file_of_something_else_is_a_clear_error(
    tmp_path: Path, folder: str, content: bytes
) -> None:
    message = raised(put(tmp_path / folder / "x", content))
    assert "no drawings that can be read" in message or "an empty file" in message


def test_a_file_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    assert "cannot be read" in raised(str(tmp_path / "x.ndjson"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_ndjson_reads_with_its_words_numbers_and_places(tmp_path: Path, pack) -> None:
    path = put(tmp_path / "x.ndjson", pack(line(1, "star") + b"\n" + line(2, "cat")))
    rows = read(path, origin=True)
    assert rows.select(["class_index", "file", "row", "key_id"]).to_pylist() == [
        {"class_index": 2, "file": path, "row": 0, "key_id": "key 1"},
        {"class_index": 0, "file": path, "row": 2, "key_id": "key 2"},
    ]
    assert rows["ink"].to_pylist() == [[1, 1, 1]] * 2
    found = scans.scan(formats.read_drawings(DISK, path, "ndjson"), [])
    assert (found.words, found.count(None), found.bad) == ({"star": 1, "cat": 1}, 2, 0)
    assert formats.count_rows(DISK, path, "ndjson") == 2
    assert formats.count_rows(DISK, path, "ndjson", lambda d: d.word == "cat") == 1
    assert len(read(path, keep=lambda drawing: drawing.key_id == "key 2")) == 1


def test_a_broken_line_is_named_by_its_number_and_can_be_skipped(tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", line(1) + line(2)[:20] + b"\n" + b"\xff\n" + line(4))
    assert raised(path).startswith(f"{path}:2: broken JSON")
    rows, errors = reported(path, origin=True)
    assert rows["row"].to_pylist() == [0, 3]
    assert [error.split(": ")[0] for error in errors] == [f"{path}:2", f"{path}:3"]
    assert formats.count_rows(DISK, path, "ndjson") == 2


def test_a_word_that_is_not_in_the_class_list_is_named_by_its_line(tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", line(1) + line(2, "unicorn") + line(3, None) + line(4))
    message = raised(path)
    assert message.startswith(f"{path}:2: the word 'unicorn' is not in the class list of 3 names")
    rows, errors = reported(path, origin=True)
    assert rows["row"].to_pylist() == [0, 3]
    assert len(errors) == 2
    # To be classified, a drawing needs no word that is known.
    assert read(path, labelled=False)["class_index"].to_pylist() == [1, -1, -1, 1]


def test_a_truncated_gzip_file_of_lines_gives_the_lines_in_front(tmp_path: Path) -> None:
    packed = gzip.compress(lines(6_000))
    path = put(tmp_path / "x.ndjson.gz", packed[: len(packed) // 2])
    assert "damaged or truncated gzip file" in raised(path)
    rows, errors = reported(path, origin=True)
    assert len(errors) == 1
    assert 1_500 < len(rows) < 6_000
    assert rows["key_id"].to_pylist() == [f"key {i}" for i in range(1, len(rows) + 1)]


def test_a_flipped_bit_in_a_gzip_file_of_lines_is_reported(tmp_path: Path) -> None:
    damaged = bytearray(gzip.compress(lines(6_000)))
    damaged[len(damaged) // 2] ^= 4
    rows, errors = reported(put(tmp_path / "x.ndjson.gz", bytes(damaged)))
    assert errors
    assert len(rows) < 6_000


def test_a_file_without_line_ends_takes_no_endless_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_MAX_LINE_BYTES", 1000)
    rows, errors = reported(put(tmp_path / "x.ndjson", line(1) + b"{" * 2500 + b"\n" + line(2)))
    assert len(rows) == 2
    assert len(errors) == 3


def test_parquet_streams_in_the_order_of_its_rows(tmp_path: Path) -> None:
    rows = drawings(10_000)
    path = put(tmp_path / "x", parquet(rows, row_group_size=3000))
    tables = list(formats.read_tables(DISK, path, "parquet", NAMES))
    assert len(tables) > 1
    assert pa.concat_tables(tables).combine_chunks().equals(rows.combine_chunks())
    assert read(path, origin=True)["row"].to_pylist() == list(range(10_000))
    assert formats.count_rows(DISK, path, "parquet") == 10_000
    assert formats.class_names_of(DISK, path) == NAMES


def test_parquet_that_another_tool_wrote_is_read(tmp_path: Path) -> None:
    other = pa.table(
        {
            "country": ["CH"],
            "class_index": pa.array([2], pa.int8()),
            "ink": pa.array([[0.5, 0.25, 1.0]], pa.large_list(pa.float64())),
        }
    )
    rows = read(put(tmp_path / "x", parquet(other)))
    assert rows.schema.equals(sketch_table.schema(NAMES), check_metadata=True)
    assert rows.to_pylist() == [{"ink": [0.5, 0.25, 1.0], "class_index": 2}]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"ink": [[0.5] * 3]}, "no column 'class_index'; the columns are ['ink']"),
        ({"class_index": [0]}, "no column 'ink'"),
        ({"ink": ["square"], "class_index": [0]}, "damaged Parquet file after row 0"),
        ({"ink": [[0.5] * 3], "class_index": ["cat"]}, "damaged Parquet file after row 0"),
        ({"ink": [[0.5] * 3], "class_index": [{"cat": 0}]}, "damaged Parquet file after row 0"),
        ({"ink": [[0.5, 0.5, 1]] * 2, "class_index": [0, 3]}, "row 1: class_index 3 is outside"),
        ({"ink": [[0.5, 0.5, 1], []], "class_index": [0, 1]}, "row 1: ink is empty"),
        ({"ink": [[0.5, 0.5, 1], None], "class_index": [0, 1]}, "row 1: ink is empty"),
        ({"ink": [[0.5, np.inf, 1.0]], "class_index": [0]}, "row 0: ink has NaN or infinite"),
    ],
)
def test_parquet_without_usable_drawings_says_where_and_why(
    tmp_path: Path, columns: dict[str, list], reason: str
) -> None:
    path = put(tmp_path / "x.parquet", parquet(pa.table(columns)))
    assert f"{path}: {reason}" in raised(path)


@pytest.mark.parametrize(
    ("class_index", "named"),
    [([0, -1, 7, None], True), ([-1] * 4, True), (None, True), ([0, 1, 2, 0], False)],
)
def test_parquet_without_classes_can_be_classified(
    tmp_path: Path, class_index: list[int | None] | None, named: bool
) -> None:
    rows = pa.table({"ink": drawings(4)["ink"]})
    if class_index is not None:
        rows = rows.append_column("class_index", pa.array(class_index, pa.int64()))
    names = sketch_table.schema(NAMES).metadata if named else None
    path = put(tmp_path / "x.parquet", parquet(rows.replace_schema_metadata(names)))
    found = read(path, labelled=False, origin=True)
    assert len(found) == 4
    first = 0 if class_index and class_index[0] == 0 and named else sketch_table.UNKNOWN_CLASS
    assert found["class_index"].to_pylist() == [first, *[sketch_table.UNKNOWN_CLASS] * 3]
    assert found["true_class"].to_pylist() == [NAMES[0] if first == 0 else None, None, None, None]
    assert formats.class_names_of(DISK, path, ("other",)) == (NAMES if named else ("other",))


def test_a_bad_row_of_parquet_can_be_skipped(tmp_path: Path) -> None:
    good = drawings(9000)
    bad = sketch_table.from_inks([np.full((2, 3), np.nan, np.float32)], [0], NAMES)
    rows = pa.concat_tables([good.slice(0, 5000), bad, good.slice(5000)])
    path = put(tmp_path / "x", parquet(rows))
    found, errors = reported(path, origin=True)
    assert errors == [f"{path}: row 5000: ink has NaN or infinite coordinates"]
    assert found["row"].to_pylist() == [i for i in range(9001) if i != 5000]
    assert found.select(["ink", "class_index"]).combine_chunks().equals(good.combine_chunks())


@pytest.mark.parametrize("names", [None, "cat,dog", "5"])
def test_parquet_without_class_names_says_how_to_make_it(tmp_path: Path, names: str | None) -> None:
    metadata = None if names is None else {"class_names": names}
    content = parquet(drawings(1).replace_schema_metadata(metadata))
    path = put(tmp_path / "x.parquet", content)
    assert re.match(f"{path}.*class names", refused(formats.class_names_of, DISK, path))


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_parquet_file_is_a_clear_error(tmp_path: Path, part: float) -> None:
    content = parquet(drawings(1000))
    path = put(tmp_path / "x.parquet", content[: int(part * len(content))])
    assert "damaged Parquet file" in raised(path)
    for use in (formats.class_names_of, lambda *where: formats.count_rows(*where, "parquet")):
        assert "damaged Parquet file" in refused(use, DISK, path)


@pytest.mark.parametrize("column", [0, 1])
def test_a_flipped_bit_in_a_page_of_parquet_is_found(tmp_path: Path, column: int) -> None:
    rows = drawings(9000)
    content = bytearray(parquet(rows, row_group_size=3000, compression="none"))
    second = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(column)
    content[second.data_page_offset + second.total_compressed_size // 2] ^= 1
    path = put(tmp_path / "x.parquet", bytes(content))
    assert "damaged Parquet file after row " in raised(path)
    found, errors = reported(path)
    assert len(errors) == 1
    assert f"after row {len(found)} " in errors[0]
    assert found.combine_chunks().equals(rows.slice(0, len(found)).combine_chunks())


SMALL = drawings(4)
SMALL_PARQUET = parquet(SMALL)


@given(st.integers(0, 8 * len(SMALL_PARQUET) - 1), st.sampled_from([0, 1, 2, 50]))
def test_a_damaged_parquet_file_gives_right_drawings_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, bit: int, cut: int
) -> None:
    damaged = bytearray(SMALL_PARQUET)
    damaged[bit // 8] ^= 1 << bit % 8
    path = put(
        tmp_path_factory.getbasetemp() / "fuzz.parquet", bytes(damaged[: len(damaged) - cut])
    )
    message, rows = path, SMALL.slice(0, 0)
    try:
        formats.class_names_of(DISK, path)
        rows = read(path)
    except UserError as error:
        message = str(error)
    assert message.startswith(path)
    assert rows.to_pylist() == SMALL.to_pylist()[: len(rows)]
