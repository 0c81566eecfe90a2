"""Every format that people have gives the same drawings, packed or not."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawing_files import put
from observed import refused
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data import formats, unpacking
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.ink import strokes_to_ink

DISK = fs.LocalFileSystem()
CASES = Path(__file__).parents[4] / "shared/cases/sketch"
NAMES = ("cat", "dog")

DRAWINGS = [
    [[[0, 255, 255, 0, 0], [0, 0, 200, 200, 0]], [[20, 60, 90], [30, 90, 30]]],
    [[[0, 100, 200, 255], [9, 0, 180, 180]]],
    [[[0, 128, 255], [0, 255, 0]], [[0, 255, 70, 0], [255, 255, 130, 7]]],
]
INKS = [strokes_to_ink(drawing).tobytes() for drawing in DRAWINGS]


def objects(word: str = "cat") -> list[dict[str, Any]]:
    return [
        {"word": word, "key_id": str(number), "recognized": True, "drawing": drawing}
        for number, drawing in enumerate(DRAWINGS, start=10)
    ]


def ndjson(word: str = "cat") -> bytes:
    return "".join(f"{json.dumps(each)}\n" for each in objects(word)).encode()


def kaggle(delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["countrycode", "drawing", "key_id", "word"])
    for each in objects():
        writer.writerow(["CH", json.dumps(each["drawing"]), each["key_id"], each["word"]])
    return text.getvalue().encode()


def binary() -> bytes:
    content = b""
    for each in objects():
        content += struct.pack("<Q2sbIH", int(each["key_id"]), b"CH", 1, 1, len(each["drawing"]))
        for x, y in each["drawing"]:
            content += struct.pack("<H", len(x)) + bytes(x) + bytes(y)
    return content


def npz(encoding: int = 4) -> bytes:
    """As `np.savez` writes it; of the pickle protocol 2, as Python 2 did."""
    import pickle  # noqa: PLC0415  (written, not read)

    arrays = np.empty(len(DRAWINGS), object)
    for number, drawing in enumerate(DRAWINGS):
        points = np.concatenate([np.array(stroke) for stroke in drawing], axis=1)
        ends = np.cumsum([len(stroke[0]) for stroke in drawing]) - 2
        steps = np.zeros((points.shape[1] - 1, 3), np.int16)
        steps[:, :2] = np.diff(points).T
        steps[ends, 2] = 1
        arrays[number] = steps
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, chosen in (("train", arrays), ("valid", arrays[:1]), ("test", arrays[1:])):
            member = io.BytesIO()
            header = {"descr": "|O", "fortran_order": False, "shape": chosen.shape}
            np.lib.format.write_array_header_1_0(member, header)
            pickle.dump(chosen, member, protocol=encoding)
            archive.writestr(f"{name}.npy", member.getvalue())
    return stream.getvalue()


def hugging_face(layout: str, words: Any = 0) -> bytes:
    drawings: list[Any] = DRAWINGS
    if layout == "strokes":
        drawings = [[{"x": x, "y": y} for x, y in drawing] for drawing in DRAWINGS]
    elif layout == "columns":
        drawings = [{"x": [x for x, _ in d], "y": [y for _, y in d]} for d in DRAWINGS]
    elif layout == "text":
        drawings = [json.dumps(drawing) for drawing in DRAWINGS]
    elif layout == "points":
        drawings = [
            [[{"x": x, "y": y} for x, y in zip(*stroke, strict=True)] for stroke in drawing]
            for drawing in DRAWINGS
        ]
    table = pa.table({"key_id": ["10", "11", "12"], "drawing": drawings, "word": [words] * 3})
    features = {"word": {"names": list(NAMES), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    stream = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), stream)
    return stream.getvalue()


FORMATS: dict[str, tuple[str, bytes]] = {
    "ndjson": ("x.ndjson", ndjson()),
    "ndjson in txt": ("x.txt", b"\xef\xbb\xbf" + ndjson()),
    "ndjson in json": ("x.json", ndjson()),
    "jsonl": ("x.jsonl", ndjson()),
    "array": ("x.json", json.dumps(objects()).encode()),
    "indented array": ("x.json", json.dumps(objects(), indent=2).encode()),
    "object with an array": ("x.json", json.dumps({"drawings": objects()}).encode()),
    "array after other fields": (
        "x.json",
        json.dumps({"version": 1, "info": {"a": [{}]}, "results": objects(), "b": [1]}).encode(),
    ),
    "csv": ("train.csv", kaggle()),
    "csv with semicolons": ("x.csv", b"\xef\xbb\xbf" + kaggle(";")),
    "csv with bars": ("x.csv", kaggle("|")),
    "csv with capitals": (
        "x.csv",
        kaggle().replace(b"drawing,key_id,word", b"Drawing,KEY_ID,Word"),
    ),
    "csv of excel": ("x.csv", b"\xef\xbb\xbfsep=,\r\n" + kaggle()),
    "csv after a blank line": ("x.csv", b"\n" + kaggle()),
    "bin": ("full_binary_cat.bin", binary()),
    "npz": ("sketchrnn_cat.npz", npz()),
    "npz of python 2": ("cat.full.npz", npz(2)),
    **{
        f"parquet {layout}": ("x.parquet", hugging_face(layout))
        for layout in ("strokes", "columns", "lists", "text", "points")
    },
    "parquet with text words": ("x.parquet", hugging_face("strokes", "cat")),
}


def put_packed(folder: Path, name: str, content: bytes, how: str) -> Path:
    name, content = packed(name, content, how)
    return put(folder / name, content)


def packed(name: str, content: bytes, how: str) -> tuple[str, bytes]:
    if how == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"__MACOSX/._{name}", b"litter")
            archive.writestr(name, content)
        return f"{name}.zip", stream.getvalue()
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }
    return (f"{name}.{how}", pack[how](content)) if how else (name, content)


def inks_of(path: Path, split: str = "all") -> list[tuple[bytes, int]]:
    drawings = open_drawings(str(path), class_names=NAMES)
    tables = [rows for p in drawings.parts(split) for rows in p.tables(origin=True, on_bad=None)]
    return [
        (np.array(row["ink"], np.float32).tobytes(), row["class_index"])
        for rows in tables
        for row in rows.to_pylist()
    ]


@pytest.mark.parametrize("how", ["", "gz", "bz2", "xz", "zip"])
@pytest.mark.parametrize("kind", list(FORMATS))
def test_the_same_drawings_come_out_of_every_format(tmp_path: Path, kind: str, how: str) -> None:
    name, content = FORMATS[kind]
    path = put_packed(tmp_path, name, content, how)
    if "npz" in kind:
        if how:
            with pytest.raises(UserError, match=r"unpack|no drawings"):
                inks_of(path)
            return
        assert inks_of(path, "validation") == [(INKS[0], 0)]
        assert inks_of(path, "test") == [(ink, 0) for ink in INKS[1:]]
        assert inks_of(path, "train") == [(ink, 0) for ink in INKS]
        return
    assert inks_of(path) == [(ink, 0) for ink in INKS]


def test_a_zip_of_many_files_is_a_folder_of_them(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for split in ("train", "val"):
            archive.writestr(f"data/{split}/cat.ndjson", ndjson("cat"))
            archive.writestr(f"data/{split}/dog.ndjson", ndjson("dog"))
    path = put(tmp_path / "drawings.zip", stream.getvalue())
    expected = [(ink, index) for index in (0, 1) for ink in INKS]
    assert inks_of(path, "train") == inks_of(path, "validation") == expected


@pytest.mark.parametrize("how", ["gz", "bz2", "xz", "zip"])
def test_content_that_unpacks_without_end_is_refused(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_BYTES", 1000)
    content = ndjson() + b"\n" * 2_000_000
    path = put_packed(tmp_path, "x.ndjson", content, how)
    with pytest.raises(UserError, match="unpacks to more than 100 times its size"):
        inks_of(path)


def test_archives_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    inner = packed("x.ndjson", ndjson(), "zip")
    whole = packed("x.ndjson", ndjson(), "zip")[1]
    flipped = bytearray(whole)
    flipped[whole.rindex(b"PK\x03\x04") + 60] ^= 1
    for name, content, why in (
        (*packed(*inner, "zip"), "x.ndjson.zip: .*the content is a zip file; unpack it first"),
        ("cut.zip", whole[: len(whole) // 2], "damaged or truncated zip"),
        ("bits.zip", bytes(flipped), "damaged or truncated zip file"),
    ):
        message = refused(inks_of, put(tmp_path / name, content))
        assert re.search(why, message)
        assert message.startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.csv", kaggle().replace(b"[[", b"[[[", 1), r"x\.csv:2: .*correct the row"),
        ("x.csv", b"sep=,\n\n" + kaggle() + b"CH,[]\n", r"x\.csv:7: 2 fields, but 4 in the header"),
        ("x.csv", kaggle().replace(b"\r\n", b"\r"), r"carriage returns alone\); save it with line"),
        ("x.csv", kaggle() + b"CH,[]\n", r"x\.csv:5: 2 fields, but 4 in the header"),
        ("cat.bin", binary()[:-3], r"cat\.bin: drawing 3 at byte .*truncated"),
        ("x.json", json.dumps(objects()).encode()[:-20], r"x\.json: drawing 3: broken JSON"),
        (
            "x.json",
            json.dumps({"cat": objects(), "dog": objects("dog")}).encode(),
            "drawing 4: more drawings after the end of their array; write all of them in one",
        ),
        ("x.json", b'[{"drawing": 5}]', r"x\.json: drawing 1: "),
        ("x.parquet", hugging_face("strokes", 7), r"row 0: the word 7 is outside the 2 class"),
        (
            "bitmaps.npy",
            npz()[0:0] + b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'",
            "of strokes for each drawing",
        ),
        ("empty.zip", b"PK\x05\x06" + bytes(18), "an empty zip archive"),
        ("x.tar", bytes(257) + b"ustar" + bytes(300), "a tar archive; unpack it"),
        ("x.ndjson.tar.gz", gzip.compress(bytes(257) + b"ustar" + bytes(300)), "a tar archive"),
        ("x.ndjson.gz", gzip.compress(gzip.compress(ndjson())), "a gzip file; unpack it first"),
        ("x.ndjson.gz", gzip.compress(lzma.compress(ndjson())), "an? xz file; unpack it first"),
        ("x.ndjson.zst", b"\x28\xb5\x2f\xfd packed", "a zstd file; unpack it first"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c packed", "a 7z file; unpack it first"),
        ("x.ndjson", ndjson().decode().encode("utf-16"), "not UTF-8; save it as UTF-8"),
        ("x.csv", kaggle().decode().encode("utf-16"), "not UTF-8; save it as UTF-8"),
        ("x.csv", kaggle().partition(b"\n")[2], "first line must name them: drawing,word"),
        ("config.json", b'{"a": 1}', 'JSON without a field "drawing"'),
        ("a.mp3", b"ID3\x04", "no drawings that can be read; known formats: TFRecords, Parquet"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = put(tmp_path / name, content)
    message = refused(inks_of, path)
    assert re.search(why, message)
    assert message.startswith(str(path))
    assert "folder has" not in message


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("array.json", 3),
        ("cat.npz", 12),
        ("full_binary_cat.bin", 3),
        ("kaggle_cat.csv", 3),
        ("ok.txt", 3),
        ("folder_mixed", 30),
    ],
)
def test_the_cases_are_read_as_they_are_in_ndjson(name: str, count: int) -> None:
    drawings = open_drawings(str(CASES / name), class_names=("cat", "circle", "tree"))
    tables = [t for part in drawings.parts("all") for t in part.tables(origin=False, on_bad=None)]
    rows = pa.concat_tables(tables).to_pylist()
    assert len(rows) == count
    reference = formats.read_drawings(DISK, str(CASES / "folder_mixed" / "cat.ndjson"), "ndjson")
    first = next(iter(reference)).ink.reshape(-1).tolist()
    same = [row["class_index"] for row in rows if row["ink"] == first]
    assert same == [0]
