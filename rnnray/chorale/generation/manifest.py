"""The manifest: Parquet, a row a chorale, a file a part.

A part's file depends only on its rows, not on their order or time: rows are sorted, and there are
no times.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnray.artifacts import Exists, Store
from rnnray.chorale.chords import HIGHEST_PITCH, VOICE_COUNT, Chords
from rnnray.chorale.critique import Critique, critique
from rnnray.chorale.generation.generation_options import FORMATS
from rnnray.chorale.generation.in_order import in_order
from rnnray.chorale.generation.plan import CONTENT_TYPES, SUMMARY, Part, Plan
from rnnray.errors import UserError

STATISTICS = tuple(
    field.name for field in fields(Critique) if field.name not in ("chorales", "steps", "frozen")
)
"""Statistics of a single chorale; see `rnnray.chorale.critique.Critique`."""

FILE = pa.struct([("key", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])
SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("temperature", pa.float64()),  # null: Bach's
        ("seed", pa.int64()),
        ("checkpoint", pa.string()),  # SHA-256 of the checkpoint's model
        ("rules", pa.string()),  # values of --rules, joined by spaces; empty for none; null: Bach's
        ("chords", pa.list_(pa.int16())),  # S A T B of each chord
        # mean of composed notes; for Bach's chorales, of all notes
        ("nats_per_note", pa.float64()),
        *((name, pa.float64()) for name in STATISTICS),
        ("files", pa.list_(FILE)),
    ]
)
ROW = pa.struct(list(SCHEMA))


def statistics_of(chords: Chords) -> dict[str, float]:
    """Return the `STATISTICS` of a chorale."""
    statistics = critique([chords]).as_dict()
    return {name: float(statistics[name]) for name in STATISTICS}


class Parts:
    """Collects rows until a part is whole, and writes it; holds only unfinished parts."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store, self._plan = store, plan
        self._tables: dict[int, list[pa.Table]] = {}

    def add(self, number: int, rows: pa.Table) -> None:
        """Add rows, `SCHEMA`, to the part with an index in the plan's list.

        Raises:
            UserError: another run wrote the part meanwhile, with other content.
        """
        part = self._plan.part(number)
        tables = self._tables.setdefault(number, [])
        tables.append(rows)
        if sum(map(len, tables)) < part.stop - part.start:
            return
        content = _to_parquet(pa.concat_tables(self._tables.pop(number)))
        try:
            self._store.put(
                part.manifest,
                content,
                content_type=CONTENT_TYPES["parquet"],
                metadata=self._plan.metadata(part),
                if_absent=True,
            )
        except Exists as error:
            if self._store.get(part.manifest) != content:
                raise UserError(
                    f"{self._store.uri}/{part.manifest}: exists, but differs from what this run "
                    "would write; start over with --overwrite"
                ) from error


def read(store: Store, parts: Iterable[Part]) -> Iterator[dict[str, Any]]:
    """Yield the rows of some parts, in order; chords as int16 [n, 4].

    Raises:
        UserError: a part is missing or cannot be read.
    """
    contents = in_order(lambda part: (part, store.get(part.manifest)), parts)
    for part, content in contents:
        try:
            rows = pq.read_table(io.BytesIO(content or b""), partitioning=None).cast(SCHEMA)
            _check(part, rows)
        # TypeError and KeyError come from Ray's own types of columns.
        except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{store.uri}/{part.manifest}: is missing or damaged; delete it and {SUMMARY}, "
                "then run again"
            ) from error
        chords = rows["chords"].combine_chunks()
        for index, row in enumerate(rows.drop_columns(["chords"]).to_pylist()):
            flat = chords[index].values.to_numpy()
            yield row | {"chords": flat.astype(np.int16).reshape(-1, VOICE_COUNT)}


def _check(part: Part, rows: pa.Table) -> None:
    """Raise ValueError unless the rows are the part's: the page links to files that they name."""
    indices = rows["index"].to_pylist()
    if indices != list(range(part.start, part.stop)):
        raise ValueError("other chorales")
    for index, files in zip(indices, rows["files"].to_pylist(), strict=True):
        keys = {part.key(index, suffix) for suffix in FORMATS}
        if not all(file["key"] in keys and file["size"] is not None for file in files):
            raise ValueError("files of another chorale")
    lengths = pc.list_value_length(rows["chords"]).to_pylist()
    pitches = pc.min_max(pc.list_flatten(rows["chords"])).as_py()
    if not all(length and length % VOICE_COUNT == 0 for length in lengths) or not (
        0 <= pitches["min"] <= pitches["max"] <= HIGHEST_PITCH
    ):
        raise ValueError("no chords")


def _to_parquet(rows: pa.Table) -> bytes:
    file = io.BytesIO()
    ordered = rows.sort_by("index").combine_chunks()
    pq.write_table(ordered, file, compression="zstd", write_page_checksum=True)
    return file.getvalue()
