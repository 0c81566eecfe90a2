"""Files of drawings in the tests' temporary folders, and what a reader finds in them."""

import io
import json
from pathlib import Path

import numpy as np
import observed
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray.sketch.data import sketch_table, tfrecords
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.data.ink import strokes_to_ink
from rnnray.sketch.data.tfrecord_file import write_record

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


def damaged_shards(source: str, folder: Path) -> tuple[Path, int]:
    """Write a source as TFRecords, and flip a byte of a record to train on.

    Returns:
        The record's file, and the byte at which it begins.
    """
    folder.mkdir()
    drawings = open_drawings(source)
    put(folder / "training.tfrecord.classes", "".join(f"{name}\n" for name in drawings.class_names))
    damaged = folder / "training.tfrecord-00000-of-00001"
    files = (
        damaged,
        folder / "eval.tfrecord-00000-of-00002",
        folder / "eval.tfrecord-00001-of-00002",
    )
    for split, file in zip(("train", "validation", "test"), files, strict=True):
        with file.open("wb") as stream:
            for part in drawings.parts(split):
                for rows in part.tables(origin=False, on_bad=None):
                    tfrecords.write_table(stream, rows)
    content = bytearray(damaged.read_bytes())
    offset = 0
    for _ in range(150):  # a record is its length (8 bytes), 8 bytes of checksums and the payload
        offset += 16 + int.from_bytes(content[offset : offset + 8], "little")
    content[offset + 40] ^= 1
    damaged.write_bytes(content)
    return damaged, offset


def parquet(path: Path, count: int, names: tuple[str, ...] = NAMES, first: int = 0) -> Path:
    """A file of drawings that know their number: their first step, in `UNIT`."""
    steps = [(first + i) * UNIT for i in range(count)]
    inks = [np.array([[step, 0, 0], [1 - step, 0, 1]], np.float32) for step in steps]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(sketch_table.from_inks(inks, [i % 3 for i in range(count)], names), path)
    return path


def drawings(count: int, seed: int = 0) -> pa.Table:
    """Drawings of one random stroke each."""
    random = np.random.default_rng(seed)
    inks = [strokes_to_ink([random.random((2, random.integers(2, 30)))]) for _ in range(count)]
    return sketch_table.from_inks(inks, [i % 3 for i in range(count)], NAMES)


def line(number: int, word: str | None = "dog", key_id: str | None = "") -> bytes:
    key = f"key {number}" if key_id == "" else key_id
    fields = {"word": word, "key_id": key, "drawing": [[[0, 1 + number], [0, 9]]]}
    return json.dumps(fields).encode() + b"\n"


def names_of(drawings: Drawings, split: str) -> list[str]:
    return [Path(part.path).name for part in drawings.splits[split]]


def refused(data: Path | str, **options) -> str:
    return observed.refused(open_drawings, str(data), **options)


def rows_of(drawings: Drawings, split: str) -> pa.Table:
    """What the parts of a split hold, read in this process."""
    tables = [t for part in drawings.splits[split] for t in part.tables(origin=True, on_bad=None)]
    return pa.concat_tables(tables)


def keys(drawings: Drawings, split: str) -> list[str]:
    return rows_of(drawings, split)["key_id"].to_pylist()


def collected(drawings: Drawings, split: str, **options) -> pa.Table:
    """What comes out of Ray Data, in its order."""
    batches = drawings.dataset(split, **options).iter_batches(
        batch_size=None, batch_format="pyarrow"
    )
    return pa.concat_tables(list(batches))
