"""The tutorial's TFRecord shards <-> Arrow sketch tables.

Each record is a `tf.train.Example` with the features `ink` (float, 3n values), `shape` (int64, [n,
3]) and `class_index` (int64, [1]), as TensorFlow's Quick, Draw! tutorial writes them:
https://github.com/tensorflow/models/tree/r1.13.0/tutorials/rnn/quickdraw (create_dataset.py).
TensorFlow's own parser parses them in batches; it is imported for the first record.
"""

import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.tfrecord_file import read_records, write_record
from rnnray.training import strategy

# Large enough that the parser's fixed cost vanishes, small enough to stream (about 2 MB).
_RECORDS_A_BATCH = 4096
# Such as "Name: <unknown>, Key: ink, Index: 0.  Data types don't match. Expected type: ...".
_PARSER_MESSAGE = re.compile(r"Key: (\w+), Index: \d+\.\s+([^\n]*?)(?: \[Op:|$)", re.MULTILINE)


def read_tables(
    stream: BufferedIOBase,
    file: str,
    class_names: Sequence[str],
    *,
    labelled: bool = True,
    origin: bool = False,
    on_bad: OnBad | None = None,
) -> Iterator[pa.Table]:
    """Read one shard as sketch tables, streaming.

    Args:
        stream: a binary file, gzip-compressed or not.
        file: its name, for messages and the `file` column.
        class_names: the names that `class_index` indexes.
        labelled: whether a record without a class in the list is an error; otherwise it gives
            `sketch_table.UNKNOWN_CLASS`.
        origin: add the columns of each drawing's origin.
        on_bad: takes the error of a record that cannot be used, and reading goes on.

    Raises:
        UserError: a record that is damaged, has no ink, or a class outside the list; named by file
            and byte offset.
    """
    records = read_records(stream, file, on_bad)
    first_row = 0
    while batch := list(islice(records, _RECORDS_A_BATCH)):
        offsets = np.array([offset for offset, _ in batch], np.int64)
        rows = np.arange(first_row, first_row + len(batch))
        first_row += len(batch)
        payloads = [payload for _, payload in batch]
        table, kept = _parse(payloads, offsets, file, class_names, labelled, on_bad)
        if origin:
            table = sketch_table.with_origin(table, file, rows[kept])
        yield table


def _parse(
    payloads: list[bytes],
    offsets: npt.NDArray[np.int64],
    file: str,
    class_names: Sequence[str],
    labelled: bool,
    on_bad: OnBad | None,
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Return the usable records as a table, and their indices."""
    reasons: dict[int, str] = {}
    features = _parse_features(payloads, 0, reasons)
    ink, ink_sizes, shape, shape_sizes, classes, class_sizes = features
    for row in np.flatnonzero(class_sizes != 1) if labelled else ():
        reasons.setdefault(int(row), "no feature class_index (one int64)")
    for row in np.flatnonzero(ink_sizes == 0):
        reasons.setdefault(int(row), "no feature ink, or one without points")
    _check_shapes(ink_sizes, shape, shape_sizes, reasons)
    # One class a row from here on, so that the table's columns have the same length.
    first_class = np.full(len(payloads), sketch_table.UNKNOWN_CLASS, np.int64)
    starts = np.cumsum(class_sizes) - class_sizes
    first_class[class_sizes > 0] = classes[starts[class_sizes > 0]]

    ink_offsets = np.concatenate([[0], np.cumsum(ink_sizes)]).astype(np.int32)
    table = pa.table(
        [pa.ListArray.from_arrays(ink_offsets, ink), pa.array(first_class)],
        schema=sketch_table.schema(class_names),
    )
    if not labelled:
        table = sketch_table.without_unknown_classes(table, len(class_names))
    for bad_row, reason in sketch_table.bad_rows(table, len(class_names), labelled=labelled):
        reasons.setdefault(bad_row, reason)
    for bad_row, reason in sorted(reasons.items()):
        error = UserError(f"{file}: record at byte {offsets[bad_row]}: {reason}")
        report(error, on_bad)
    kept = np.setdiff1d(np.arange(len(payloads)), list(reasons))
    return (table.take(kept) if reasons else table), kept


def _check_shapes(
    ink_sizes: npt.NDArray[np.int64],
    shape: npt.NDArray[np.int64],
    shape_sizes: npt.NDArray[np.int64],
    reasons: dict[int, str],
) -> None:
    """Check that `shape`, where it exists, agrees with the length of ink."""
    for row in np.flatnonzero((shape_sizes != 0) & (shape_sizes != 2)):
        reasons.setdefault(int(row), f"feature shape has {shape_sizes[row]} values, not 2")
    stated = np.flatnonzero(shape_sizes == 2)
    starts = (np.cumsum(shape_sizes) - shape_sizes)[stated]
    points, width = shape[starts], shape[starts + 1] if len(starts) else starts
    wrong = (width != 3) | (points * 3 != ink_sizes[stated])
    for row, n, w in zip(stated[wrong], points[wrong], width[wrong], strict=True):
        reasons.setdefault(int(row), f"shape says [{n}, {w}], ink has {ink_sizes[row]} values")


def _parse_features(payloads: list[bytes], first: int, reasons: dict[int, str]) -> tuple[Any, ...]:
    """Return values, and sizes for each row, of ink, shape and class_index, as NumPy arrays.

    A payload that is no such Example gives empty rows and a reason under its number (`first` is the
    number of the first payload). The parser refuses a whole batch, so halves are tried.
    """
    strategy.quiet_tensorflow()  # importing takes 5 to 15 s: only to parse records
    import tensorflow as tf  # noqa: PLC0415

    ragged = tf.io.RaggedFeature
    try:
        parsed = tf.io.parse_example(
            tf.constant(payloads, tf.string),
            {
                "ink": ragged(tf.float32, row_splits_dtype=tf.int64),
                "shape": ragged(tf.int64, row_splits_dtype=tf.int64),
                "class_index": ragged(tf.int64, row_splits_dtype=tf.int64),
            },
        )
    # UnicodeDecodeError: TensorFlow quotes a payload that it cannot parse, in any encoding.
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        if len(payloads) == 1:
            feature = _PARSER_MESSAGE.search(str(error))
            why = f"feature {feature[1]}: {feature[2]}" if feature else "it cannot be parsed"
            reasons[first] = f"not an Example of a drawing ({why})"
            return tuple(
                np.zeros(n, t)
                for dtype in (np.float32, np.int64, np.int64)
                for n, t in ((0, dtype), (1, np.int64))
            )
        middle = len(payloads) // 2
        halves = (
            _parse_features(payloads[:middle], first, reasons),
            _parse_features(payloads[middle:], first + middle, reasons),
        )
        return tuple(np.concatenate(pair) for pair in zip(*halves, strict=True))
    return tuple(
        array
        for name in ("ink", "shape", "class_index")
        for array in (
            parsed[name].values.numpy(),
            np.diff(parsed[name].row_splits.numpy()),
        )
    )


def write_table(stream: BinaryIO, table: pa.Table) -> None:
    """Append a sketch table as records with the features of the tutorial's script.

    TensorFlow's own `tf.train.Example` serialises them.
    """
    strategy.quiet_tensorflow()
    import tensorflow as tf  # noqa: PLC0415

    for ink, class_index in zip(
        sketch_table.inks_of(table), table["class_index"].to_pylist(), strict=True
    ):
        features = {
            "class_index": tf.train.Feature(int64_list=tf.train.Int64List(value=[class_index])),
            "ink": tf.train.Feature(float_list=tf.train.FloatList(value=ink.reshape(-1))),
            "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=ink.shape)),
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        write_record(stream, example.SerializeToString(deterministic=True))
