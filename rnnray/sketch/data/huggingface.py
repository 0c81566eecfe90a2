"""Drawings in Parquet with a column `drawing`, as in Hugging Face's data sets.

`drawing` is a list of strokes {x, y}, or {x, y} of lists of strokes, or nested lists as in ndjson,
or their JSON as text. `word` is text, or an index into the class names in the schema's metadata
`huggingface` (https://huggingface.co/docs/datasets/about_dataset_features).
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.canvas import Layout
from rnnray.sketch.data.ink_batches import inks_of_column
from rnnray.sketch.data.ndjson import Drawing, Record, load_json, recognition_of, to_drawings

_ROWS = 1024
_COLUMNS = ("drawing", "word", "key_id", "recognized")


def class_names_of(schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the class names that numbers in the column `word` index; None if there are none.

    Raises:
        ValueError: the metadata are damaged.
    """
    content = (schema.metadata or {}).get(b"huggingface")
    if content is None:
        return None
    try:
        names = json.loads(content)["info"]["features"]["word"].get("names")
    except (KeyError, TypeError, AttributeError):
        return None
    except RecursionError as error:  # brackets nested thousands deep
        raise ValueError("no list of names") from error
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise ValueError("no list of names")
    return None if names is None else tuple(names)


def read(file: pq.ParquetFile, path: str, on_bad: OnBad | None) -> Iterator[Drawing]:
    """Yield the drawings of a file, numbered from 1, with one batch of rows in memory at a time.

    Args:
        file: Parquet file with a column `drawing`.
        path: its path, for messages.
        on_bad: takes the error of each row that is not a drawing.

    Raises:
        UserError: a row that is not a drawing, without `on_bad`.
    """

    def bad(number: int, error: UserError) -> None:
        report(UserError(f"{path}: row {number - 1}: {error}"), on_bad)

    yield from to_drawings(_records(file, bad), bad)


def _records(file: pq.ParquetFile, bad: Callable[[int, UserError], None]) -> Iterator[Record]:
    names = class_names_of(file.schema_arrow)
    columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
    number = 0
    for batch in file.iter_batches(_ROWS, columns=columns, use_threads=False):
        column = batch.column("drawing")
        strokes = _nested_lists(column)
        layout: Layout | None = None if strokes is column else "lists"
        inks = inks_of_column(strokes) if _depth(strokes.type) == 3 else [None] * len(batch)
        others = [
            batch.column(name).to_pylist() if name in columns else [None] * len(batch)
            for name in _COLUMNS[1:]
        ]
        for row, (ink, word, key, recognized) in enumerate(zip(inks, *others, strict=True)):
            number += 1
            try:
                name = _word(word, names)
                key_id = None if key is None else str(key)
                if ink is not None:
                    said = recognition_of(recognized)
                    drawing = Drawing((name or "").strip() or None, key_id, ink, number, said)
                    yield Record(number, None, drawing)
                    continue
                fields = {"word": name, "key_id": key_id, "recognized": recognized}
                drawn = strokes[row].as_py()
                drawn = load_json(drawn) if isinstance(drawn, str) else drawn
                yield Record(number, fields | {"drawing": drawn}, layout=layout)
            except UserError as error:
                bad(number, error)


def _word(word: Any, names: tuple[str, ...] | None) -> str | None:
    """Return the word itself, or the name that a number indexes; -1 is no word."""
    if word is None or isinstance(word, str):
        return word
    if not isinstance(word, int):
        raise UserError(f"the word {word!r} is neither text nor a number")
    if names is None:
        raise UserError(
            f"the word is the number {word}, but the schema has no class names; write the names "
            "into the column"
        )
    if word == -1:
        return None
    if not 0 <= word < len(names):
        raise UserError(f"the word {word} is outside the {len(names)} class names of the schema")
    return names[word]


def _nested_lists(drawings: pa.Array) -> pa.Array:
    """Return strokes {x, y} as strokes [x, y]; anything else as it is."""
    kind = drawings.type
    strokes = drawings.flatten() if pa.types.is_list(kind) else drawings
    if not pa.types.is_struct(strokes.type) or drawings.null_count or strokes.null_count:
        return drawings
    if not {"x", "y"} <= {field.name for field in strokes.type}:
        return drawings
    x, y = strokes.field("x"), strokes.field("y")
    if pa.types.is_list(kind):
        return (
            _interleaved(drawings.offsets, x, y)
            if _depth(x.type) == _depth(y.type) == 1
            else drawings
        )
    offsets = [each.offsets.to_numpy() for each in (x, y) if _depth(each.type) == 2]
    if len(offsets) == 2 and np.array_equal(np.diff(offsets[0]), np.diff(offsets[1])):
        return _interleaved(x.offsets, x.flatten(), y.flatten())
    return drawings


def _interleaved(offsets: pa.Array, x: pa.Array, y: pa.Array) -> pa.ListArray:
    order = np.arange(2 * len(x)).reshape(2, -1).T.reshape(-1)
    lists = pa.concat_arrays([x, y]).take(pa.array(order))
    strokes = pa.ListArray.from_arrays(np.arange(0, 2 * len(x) + 1, 2, dtype=np.int32), lists)
    first = offsets.to_numpy()
    return pa.ListArray.from_arrays((first - first[0]).astype(np.int32), strokes)


def _depth(kind: pa.DataType) -> int:
    """Return how many lists a type nests around numbers; -1 for anything else."""
    depth = 0
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return depth if pa.types.is_integer(kind) or pa.types.is_floating(kind) else -1
