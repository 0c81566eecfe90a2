import gzip
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from drawing_files import NAMES, drawings
from hypothesis import given, settings
from hypothesis import strategies as st
from observed import refused
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data import formats, sketch_table, tfrecords
from rnnray.sketch.data.tfrecord_file import write_record


@pytest.fixture(scope="module")
def tf() -> ModuleType:
    import tensorflow  # noqa: PLC0415  (5 to 10 s: not when tests are collected)

    return tensorflow


def shard(rows: pa.Table) -> bytes:
    stream = io.BytesIO()
    tfrecords.write_table(stream, rows)
    return stream.getvalue()


def read(content: bytes, **options) -> pa.Table:
    tables = tfrecords.read_tables(io.BytesIO(content), "x.tfrecord", NAMES, **options)
    return pa.concat_tables(
        [sketch_table.schema(NAMES).empty_table(), *tables], promote_options="default"
    )


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    assert found.select(["ink", "class_index"]).combine_chunks().equals(expected.combine_chunks())


def example(tf: ModuleType, **features: list[float] | list[int] | list[bytes]) -> bytes:
    def feature(values):
        if values and all(isinstance(value, bytes) for value in values):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if values and all(isinstance(value, int) for value in values):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    by_name = {name: feature(values) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=by_name)).SerializeToString()


def test_tensorflow_is_not_imported_before_a_record_is_read() -> None:
    code = (
        "import sys; import rnnray.sketch.data.datasets, rnnray.sketch.data.tfrecords; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_record_of_the_real_sample_reads_as_tensorflow_parses_it(
    tf: ModuleType, sample: Path
) -> None:
    names = tuple((sample / "training.tfrecord.classes").read_text().split("\n")[:-1])
    counts = {"training": 0, "eval": 0}
    for path in sorted(sample.glob("*.tfrecord-*")):
        with path.open("rb") as stream:
            found = pa.concat_tables(tfrecords.read_tables(stream, path.name, names))
        points, offsets = sketch_table.flat_ink(found)
        serialized = list(tf.data.TFRecordDataset(str(path)).batch(1 << 20))
        parsed = tf.io.parse_example(
            tf.concat(serialized, axis=0),
            {
                "ink": tf.io.VarLenFeature(tf.float32),
                "shape": tf.io.FixedLenFeature([2], tf.int64),
                "class_index": tf.io.FixedLenFeature([1], tf.int64),
            },
        )
        np.testing.assert_array_equal(points.reshape(-1), parsed["ink"].values)
        np.testing.assert_array_equal(np.diff(offsets), parsed["shape"][:, 0])
        np.testing.assert_array_equal(found["class_index"], parsed["class_index"][:, 0])
        rows_of_values = np.repeat(np.arange(len(found)), np.diff(offsets) * 3)
        np.testing.assert_array_equal(rows_of_values, parsed["ink"].indices[:, 0])
        counts[path.name.partition(".")[0]] += len(found)
    assert counts == {"training": 103_374, "eval": 17_250}


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_what_tensorflow_writes_is_read(tf: ModuleType, tmp_path: Path, compression: str) -> None:
    rows = drawings(10)
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tf.io.TFRecordWriter(str(tmp_path / "x"), options) as writer:
        for ink, class_index in zip(sketch_table.inks_of(rows), rows["class_index"], strict=True):
            values, index = ink.reshape(-1).tolist(), class_index.as_py()
            writer.write(example(tf, ink=values, shape=list(ink.shape), class_index=[index]))
    assert_same(read((tmp_path / "x").read_bytes()), rows)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_what_is_written_is_read_by_tensorflow(
    tf: ModuleType, tmp_path: Path, compression: str
) -> None:
    rows = drawings(10).slice(3, 5)
    content = shard(rows)
    (tmp_path / "x").write_bytes(gzip.compress(content) if compression else content)
    records = list(tf.data.TFRecordDataset(str(tmp_path / "x"), compression_type=compression))
    assert len(records) == 5
    for record, ink, class_index in zip(
        records, sketch_table.inks_of(rows), rows["class_index"], strict=True
    ):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        assert set(features) == {"ink", "shape", "class_index"}
        assert features["shape"].int64_list.value == list(ink.shape)
        assert features["class_index"].int64_list.value == [class_index.as_py()]
        written = np.array(features["ink"].float_list.value, np.float32).reshape(-1, 3)
        np.testing.assert_array_equal(written, ink)


def test_a_shard_of_a_gzip_file_reads_like_the_file_and_says_where_each_drawing_stands(
    tf: ModuleType, tmp_path: Path
) -> None:
    rows = drawings(6)
    path = tmp_path / "training.tfrecord-00000-of-00001"
    path.write_bytes(gzip.compress(shard(rows)))
    (found,) = formats.read_tables(fs.LocalFileSystem(), str(path), "tfrecords", NAMES, origin=True)
    assert_same(found, rows)
    assert found["file"].to_pylist() == [str(path)] * 6
    assert found["row"].to_pylist() == list(range(6))


INK = [0.5, 0.5, 0.0, 0.5, 0.5, 1.0, -1.0, -0.5, 1.0]
GOOD = {"ink": INK, "shape": [3, 3], "class_index": [1]}


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ({"ink": None}, "no feature ink"),
        ({"ink": None, "shape": None}, "no feature ink"),
        ({"ink": [], "shape": [0, 3]}, "no feature ink, or one without points"),
        ({"ink": [1] * 9}, "feature ink: Data types don't match.*float.*int64.$"),
        ({"ink": [b"0.5"] * 9}, "feature ink: Data types don't match.*float.*string.$"),
        ({"ink": [0.5, 0.5, float("nan")] * 3}, "NaN or infinite"),
        ({"ink": [0.5, float("-inf"), 1.0] * 3}, "NaN or infinite"),
        ({"ink": [60.0, 20, 0, 31, -4, 0, 7, 8, 1]}, "ink spans 98 x 24 but must lie in a box"),
        ({"ink": [0.5] * 10, "shape": None}, "10 values, which is not a multiple of 3"),
        ({"shape": [4, 3]}, r"shape says \[4, 3\], ink has 9 values"),
        ({"shape": [9, 1]}, r"shape says \[9, 1\]"),
        ({"shape": [3]}, "feature shape has 1 values, not 2"),
        ({"shape": [3.0, 3.0]}, "feature shape: Data types don't match"),
        ({"class_index": None}, "no feature class_index"),
        ({"class_index": [1, 1]}, "no feature class_index .one int64"),
        ({"class_index": [3]}, "class_index 3 is outside the class list of 3 names"),
        ({"class_index": [-1]}, "class_index -1 is outside"),
        ({"class_index": [b"dog"]}, "feature class_index: Data types don't match"),
        (b"", "no feature class_index"),
        (b"\xff\n\x00 \xe2\x80", "not an Example of a drawing .it cannot be parsed"),
        (b"\n\x7f\x1b[31m", "not an Example of a drawing .it cannot be parsed"),
    ],
)
def test_a_record_that_is_no_drawing_is_named_by_its_offset_and_can_be_skipped(
    tf: ModuleType, features: dict[str, list | None] | bytes, reason: str
) -> None:
    if isinstance(features, bytes):
        bad = features
    else:
        bad = example(tf, **{k: v for k, v in (GOOD | features).items() if v is not None})
    first, last = drawings(1), drawings(2, seed=1)
    stream = io.BytesIO(shard(first))
    offset = stream.seek(0, io.SEEK_END)
    write_record(stream, bad)
    stream.write(shard(last))
    errors: list[UserError] = []
    found = read(stream.getvalue(), origin=True, on_bad=errors.append)
    assert_same(found, pa.concat_tables([first, last]))
    assert found["row"].to_pylist() == [0, 2, 3]
    (message,) = map(str, errors)
    assert message.startswith(f"x.tfrecord: record at byte {offset}: ")
    assert re.search(reason, message)
    assert refused(read, stream.getvalue()) == message


def test_a_record_may_leave_out_its_shape(tf: ModuleType) -> None:
    stream = io.BytesIO()
    write_record(stream, example(tf, ink=GOOD["ink"], class_index=[2]))
    found = read(stream.getvalue())
    assert found.to_pylist() == [{"ink": INK, "class_index": 2}]


def test_records_without_a_class_can_be_classified(tf: ModuleType) -> None:
    stream = io.BytesIO()
    for index in ([-1], None, [7], [2]):
        features = {"ink": INK} | ({} if index is None else {"class_index": index})
        write_record(stream, example(tf, **features))
    found = read(stream.getvalue(), labelled=False, origin=True)
    assert found["class_index"].to_pylist() == [-1, -1, -1, 2]
    assert found["true_class"].to_pylist() == [None, None, None, "star"]


def test_many_bad_records_are_each_reported_once_and_in_order(
    tf: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecords, "_RECORDS_A_BATCH", 5)
    rows, stream, offsets = drawings(23), io.BytesIO(), []
    for i in range(23):
        if i % 3 == 0 or 10 <= i < 15:  # the third batch has no good one
            offsets.append(stream.tell())
            write_record(stream, b"junk" if i % 2 else example(tf, **(GOOD | {"ink": [1] * 9})))
        else:
            stream.write(shard(rows.slice(i, 1)))
    errors: list[str] = []
    found = read(stream.getvalue(), origin=True, on_bad=lambda error: errors.append(str(error)))
    kept = [i for i in range(23) if i % 3 and not 10 <= i < 15]
    assert found["row"].to_pylist() == kept
    assert_same(found, rows.take(kept))
    assert [int(error.split("byte ")[1].split(":")[0]) for error in errors] == offsets


def in_order(found: pa.Table, written: pa.Table) -> bool:
    rest = iter(written.to_pylist())
    return all(any(row == other for other in rest) for row in found.to_pylist())


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.booleans(),
    st.lists(st.integers(0), max_size=4),
    st.one_of(st.none(), st.integers(0)),
)
def test_a_damaged_shard_never_yields_a_wrong_drawing_or_hides_a_loss(
    tf: ModuleType, count: int, zipped: bool, bits: list[int], size: int | None
) -> None:
    rows = drawings(count, seed=count)
    content = shard(rows)
    ends = [len(shard(rows.slice(0, n))) for n in range(count)]
    content = gzip.compress(content) if zipped else content
    if size is not None:
        content = content[: size % len(content)]
    damaged = bytearray(content)
    for bit in bits if content else []:
        damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
    errors: list[str] = []
    found = read(bytes(damaged), on_bad=lambda error: errors.append(str(error)))
    if zipped:  # damage can make gzip repeat a piece, whole records with it; that is reported
        assert all(row in rows.to_pylist() for row in found.to_pylist())
    else:
        assert in_order(found, rows)
    # Nothing tells that a file was cut between two records.
    cut_between = size is not None and (not content or (not zipped and len(content) in ends))
    assert errors or len(found) == count or cut_between
    assert all(error.startswith("x.tfrecord: ") and " byte " in error for error in errors)
    if errors:
        with pytest.raises(UserError) as caught:
            read(bytes(damaged))
        assert str(caught.value) == errors[0]


@settings(max_examples=60)
@given(st.lists(st.integers(0), max_size=3), st.binary(max_size=20), st.booleans())
def test_a_payload_of_anything_under_a_right_checksum_is_a_drawing_or_is_reported(
    tf: ModuleType, bits: list[int], other: bytes, replaced: bool
) -> None:
    payload = bytearray(other if replaced else example(tf, **GOOD) + other)
    for bit in bits if payload else []:
        payload[bit // 8 % len(payload)] ^= 1 << bit % 8
    stream = io.BytesIO()
    write_record(stream, bytes(payload))
    errors: list[str] = []
    found = read(stream.getvalue(), on_bad=lambda error: errors.append(str(error)))
    assert len(found) + len(errors) == 1
    assert all(error.isprintable() for error in errors)
    assert sketch_table.bad_rows(found, len(NAMES), labelled=True) == []
