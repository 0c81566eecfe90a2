"""Data files from strangers: nothing in them runs, and what they cannot be is said in one line."""

import gzip
import io
import json
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
from pyarrow import fs

from rnnray.chorale.data import chorale_table, scores
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.render.engraving import svg_pages
from rnnray.errors import UserError
from rnnray.sketch.data import formats, sketch_table
from rnnray.sketch.data.checksums import masked_crc
from rnnray.sketch.data.datasets import open_drawings

LOCAL = fs.LocalFileSystem()
CHORDS = np.tile(np.array([72, 67, 60, 48], np.int16), (16, 1))
INK = np.array([[0.5, 0.5, 0], [0.2, 0.1, 1]], np.float32)
XML = (
    '<score-partwise version="4.0"><part-list><score-part id="P1"><part-name>{name}</part-name>'
    '</score-part></part-list><part id="P1"><measure number="1"><attributes><divisions>1'
    "</divisions></attributes><note><pitch><step>C</step><octave>4</octave></pitch>"
    "<duration>4</duration><voice>1</voice></note></measure></part></score-partwise>"
)


def one_line(read: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        read()
    message = caught.value.args[0]
    assert isinstance(message, str)
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    return message


def said(read: Callable[[], object]) -> str:
    """The line that reading ended in; nothing where it was read."""
    try:
        read()
    except UserError as error:
        message = str(error.args[0])
    else:
        return ""
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    return message


def read_drawings(path: Path, kind: formats.Format | None = None) -> int:
    kind = kind or formats.detect(LOCAL, str(path))
    return sum(len(rows) for rows in formats.read_tables(LOCAL, str(path), kind, ["cat"]))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["", "gzip", "zlib"])
@pytest.mark.parametrize(
    "suffix",
    [
        *(".csv", ".mid", ".midi", ".musicxml", ".xml", ".mxl", ".krn", ".parquet"),
        *(".json", ".npz", ".tgz", ".tar", ".zip"),
    ],
)
def test_a_pickle_in_a_corpus_is_refused_by_name(
    tmp_path: Path, evil_pickle: bytes, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / f"planted{suffix}"
    file.write_bytes(pack(evil_pickle))
    assert str(file) in one_line(lambda: open_corpus(str(file)))
    if suffix in scores.SUFFIXES:
        assert str(file) in one_line(lambda: scores.read_voices(file))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["", "gzip"])
@pytest.mark.parametrize(
    "name", ["a.parquet", "a.ndjson", "training.tfrecord-00000-of-00001", "a.arrow", "a.pkl"]
)
def test_a_pickle_among_drawings_is_refused_by_name(
    tmp_path: Path, evil_pickle: bytes, name: str, pack: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / name
    file.write_bytes(pack(evil_pickle))
    assert str(file) in one_line(lambda: read_drawings(file))


def test_a_pickle_as_a_class_list_or_as_the_mark_of_a_prepared_folder_does_not_run(
    ray_cluster: None, tmp_path: Path, evil_pickle: bytes
) -> None:
    for split in ("train", "validation", "test"):
        (tmp_path / "prepared" / split).mkdir(parents=True)
        rows = sketch_table.from_inks([INK], [0], ["cat"])
        pq.write_table(rows, tmp_path / "prepared" / split / "part-00000.parquet")
    (tmp_path / "prepared" / "sketches.json").write_bytes(evil_pickle)
    assert open_drawings(str(tmp_path / "prepared")).count("train") == 1
    shard = tmp_path / "shards" / "training.tfrecord-00000-of-00001"
    shard.parent.mkdir()
    shard.write_bytes(record(b"x"))
    (tmp_path / "shards" / "training.tfrecord.classes").write_bytes(evil_pickle)
    assert "a class list must be UTF-8" in one_line(lambda: open_drawings(str(tmp_path / "shards")))


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    crc = struct.Struct("<I").pack
    return length + crc(masked_crc(length)) + payload + crc(masked_crc(payload))


def test_a_pickle_in_a_tfrecord_is_refused_by_file_and_byte(
    tmp_path: Path, evil_pickle: bytes
) -> None:
    file = tmp_path / "training.tfrecord-00000-of-00001"
    file.write_bytes(record(evil_pickle))
    assert f"{file}" in one_line(lambda: read_drawings(file))
    file.write_bytes(struct.pack("<Q", 1 << 60))
    header = struct.pack("<Q", 1 << 60)
    file.write_bytes(header + struct.pack("<I", masked_crc(header)) + b"x")
    assert "impossible record length" in one_line(lambda: read_drawings(file))


def planted_columns(code: bytes) -> dict[str, pa.Field]:
    """Arrow's extension types, which have run what a file's schema told them to."""
    storage = pa.list_(pa.float32())
    names = {
        "arrow.py_extension_type": code,  # CVE-2023-47248, of pyarrow
        "ray.data.arrow_tensor": code,  # of Ray Data 2.49 to 2.54
        "ray.data.arrow_tensor_v2": code,
        "ray.data.arrow_variable_shaped_tensor": code,
        "ray.data.arrow_pickled_object": b"",
        "arrow.fixed_shape_tensor": code,
    }
    return {
        name: pa.field(
            "ink",
            storage,
            metadata={
                b"ARROW:extension:name": name.encode(),
                b"ARROW:extension:metadata": metadata,
            },
        )
        for name, metadata in names.items()
    }


EXTENSIONS = list(planted_columns(b""))


@pytest.mark.parametrize("name", EXTENSIONS)
def test_an_arrow_type_that_would_unpickle_its_schema_does_not(
    tmp_path: Path, evil_pickle: bytes, name: str
) -> None:
    assert ray.data.DataContext  # its Arrow types are registered, as in every process of a job
    field = planted_columns(evil_pickle)[name]
    ink = pa.array([INK.reshape(-1)], field.type)
    metadata = sketch_table.schema(["cat"]).metadata
    rows = pa.table(
        [ink, pa.array([0], pa.int64())],
        schema=pa.schema([field, pa.field("class_index", pa.int64())], metadata),
    )
    file = tmp_path / "planted.parquet"
    pq.write_table(rows, file)
    # Refused, or read as the plain numbers that they are.
    for read in (lambda: read_drawings(file), lambda: formats.class_names_of(LOCAL, str(file))):
        assert str(file) in (said(read) or str(file))
    assert str(file) in one_line(lambda: open_corpus(str(file)))


@pytest.mark.parametrize("column", ["name", "split", "chords", "more"])
def test_a_column_of_pickled_objects_is_not_unpickled(
    tmp_path: Path, evil_pickle: bytes, column: str
) -> None:
    plain = chorale_table.from_chorales([("a", "test", CHORDS)])
    columns = {name: plain[name] for name in plain.column_names}
    fields = {name: plain.schema.field(name) for name in plain.column_names}
    columns[column] = pa.array([evil_pickle], pa.large_binary())
    fields[column] = pa.field(
        column,
        pa.large_binary(),
        metadata={
            b"ARROW:extension:name": b"ray.data.arrow_pickled_object",
            b"ARROW:extension:metadata": b"",
        },
    )
    file = tmp_path / "planted.parquet"
    pq.write_table(pa.table(list(columns.values()), schema=pa.schema(list(fields.values()))), file)
    if column == "more":
        assert len(open_corpus(str(file))) == 1  # a column that nobody asked for
    else:
        assert str(file) in one_line(lambda: open_corpus(str(file)))


@pytest.mark.parametrize(
    "planted", ["pickle", b"[" * 100_000, b"{}", b"1", b'[{"a": 1}]', b'[["a"]]', b"\xff", b""]
)
def test_metadata_of_parquet_that_is_not_ours_is_one_line(
    tmp_path: Path, evil_pickle: bytes, planted: bytes | str
) -> None:
    content = evil_pickle if planted == "pickle" else planted
    sketches = sketch_table.from_inks([INK], [0], ["cat"])
    file = tmp_path / "sketches.parquet"
    pq.write_table(sketches.replace_schema_metadata({b"class_names": content}), file)
    assert str(file) in one_line(lambda: formats.class_names_of(LOCAL, str(file)))
    chorales = chorale_table.from_chorales([("a", "test", CHORDS)])
    file = tmp_path / "chorales.parquet"
    pq.write_table(chorales.replace_schema_metadata({b"skipped": content}), file)
    assert str(file) in one_line(lambda: open_corpus(str(file)))


def dtd(entities: str) -> str:
    return f'<?xml version="1.0"?><!DOCTYPE score-partwise [{entities}]>'


LAUGHS = '<!ENTITY a0 "ha ha ha ha ">' + "".join(
    f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9)
)
SECRET = "a secret of this machine"


@pytest.mark.parametrize(
    ("entities", "name"),
    [
        (LAUGHS, "&a9;"),
        ('<!ENTITY a "' + "A" * 100_000 + '">', "&a;" * 3000),
        ('<!ENTITY a SYSTEM "file://{secret}">', "&a;"),
        ('<!ENTITY % a SYSTEM "file://{secret}"> %a;', "Soprano"),
        ('<!ENTITY % a SYSTEM "http://127.0.0.1:{port}/a.dtd"> %a;', "Soprano"),
    ],
    ids=["billion laughs", "quadratic", "file", "parameter", "network"],
)
def test_entities_of_musicxml_fill_no_memory_and_fetch_nothing(
    tmp_path: Path, entities: str, name: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    drawn: list[str] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        text = entities.replace("{secret}", str(secret))
        text = dtd(text.replace("{port}", str(server.getsockname()[1]))) + XML.format(name=name)
        score = tmp_path / "planted.musicxml"
        score.write_text(text)
        assert SECRET not in said(lambda: scores.read_voices(score))
        assert SECRET not in said(lambda: drawn.extend(svg_pages(text.encode())))
        assert SECRET not in "".join(drawn)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_brackets_nested_thousands_deep_are_a_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "deep.ndjson"
    file.write_text('{"word": "cat", "drawing": ' + "[" * 100_000 + "\n")
    assert f"{file}:1: " in one_line(lambda: read_drawings(file))


def test_a_gzip_of_zeros_is_one_bad_line_in_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "zeros.ndjson.gz"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        stream.write(b"{")
        for _ in range(100):
            stream.write(bytes(1 << 20))
    assert f"{file}:1: " in one_line(lambda: read_drawings(file, "ndjson"))


def test_json_that_is_read_back_has_no_objects(tmp_path: Path) -> None:
    line = {"word": "cat", "key_id": {"__reduce__": "os.system"}, "drawing": [[[0, 9], [0, 9]]]}
    file = tmp_path / "objects.ndjson"
    file.write_text(json.dumps(line) + "\n")
    assert 'the field "key_id" must be a string' in one_line(lambda: read_drawings(file))


def test_a_pickle_in_a_numpy_archive_of_drawings_does_not_run(
    tmp_path: Path, evil: object, evil_pickle: bytes
) -> None:
    arrays = np.empty(2, object)
    arrays[:] = [evil, np.zeros((1, 3), np.int16)]
    header = {"descr": "|O", "fortran_order": False, "shape": (2,)}
    for content in (evil_pickle, pickle.dumps(arrays), pickle.dumps([evil])):
        member = io.BytesIO()
        np.lib.format.write_array_header_1_0(member, header)
        file = tmp_path / "cat.npz"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("train.npy", member.getvalue() + content)
        drawings = open_drawings(str(file), class_names=["cat"])
        part = drawings.parts("train")[0]
        message = one_line(lambda part=part: list(part.tables(origin=False, on_bad=None)))
        assert str(file) in message
        assert "only arrays of numbers are read" in message or "no array of numbers" in message
