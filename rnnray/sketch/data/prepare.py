"""Any source of drawings -> one folder of Parquet or TFRecords, in parallel on the cluster.

Until the end, the folder has the file `unfinished-preparation.json`. Parquet: `train/`,
`validation/` and `test/` with files of the sketch table, and `sketches.json`. TFRecords: shards and
class lists named as in the tutorial's archive; the first half of the `eval` shards is validation,
the second is test.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import ray.data

from rnnray import reach, storage
from rnnray.errors import UserError
from rnnray.events import Event, Events, Tell
from rnnray.progress import say
from rnnray.sketch.data import sketch_table, tfrecords
from rnnray.sketch.data.datasets import UNFINISHED_MARK
from rnnray.sketch.data.drawings import Drawings
from rnnray.splits import SPLITS

Format = Literal["parquet", "tfrecords"]

# Describes the folder for people; no program reads it.
_DESCRIPTION = "sketches.json"

# About 4 MB a file: enough files for many readers, few enough to list.
_ROWS_A_FILE = 16_384
_ROWS_A_GROUP = 8192
# The number of shards of each kind in the tutorial's archive.
_SHARDS = 10
_TFRECORD_NAMES = {
    "train": ("training", _SHARDS, 0),
    "validation": ("eval", _SHARDS // 2, 0),
    "test": ("eval", _SHARDS // 2, _SHARDS // 2),
}


class _Sink(ray.data.Datasink):  # type: ignore[misc]
    """Writes one file a task, named after the task, so that a repeated task replaces its file."""

    def __init__(
        self, output: str, split: str, class_names: tuple[str, ...], file_format: Format, tell: Tell
    ) -> None:
        self._output, self._split, self._format = output, split, file_format
        self._schema, self._tell = sketch_table.schema(class_names), tell

    @property
    def min_rows_per_write(self) -> int | None:
        """None for TFRecords, whose every block is a shard."""
        return _ROWS_A_FILE if self._format == "parquet" else None

    def write(self, blocks: Iterable[Any], ctx: Any) -> int:
        """Write the blocks of one task; return the number of rows."""
        tables = [pa.table(block).select(self._schema.names).cast(self._schema) for block in blocks]
        rows = pa.concat_tables([self._schema.empty_table(), *tables])
        if len(rows) == 0:
            return 0
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "part"
            if self._format == "parquet":
                name = f"{self._split}/part-{ctx.task_idx:05d}.parquet"
                pq.write_table(
                    rows,
                    file,
                    row_group_size=_ROWS_A_GROUP,
                    compression="zstd",
                    write_page_checksum=True,
                )
            else:
                prefix, _, first = _TFRECORD_NAMES[self._split]
                name = f"{prefix}.tfrecord-{first + ctx.task_idx:05d}-of-{_SHARDS:05d}"
                with file.open("wb") as stream:
                    tfrecords.write_table(stream, rows)
            storage.put_file(file, storage.join(self._output, name))
        self._tell({"kind": "written", "rows": len(rows)})
        return len(rows)


def prepare(
    drawings: Drawings,
    output: str,
    *,
    file_format: Format = "parquet",
    shuffle: bool = True,
    seed: int = 42,
) -> dict[str, int]:
    """Convert a source to a folder of one format.

    Args:
        drawings: labelled drawings with splits.
        output: folder or URI, new or empty.
        file_format: parquet for training, tfrecords for other tools that read the tutorial's
            format.
        shuffle: mix the drawings of each split over all its files, so that training needs to
            shuffle only a little. Data sorted by class need it.
        seed: seed of the shuffling.

    Returns:
        The number of drawings of each split.

    Raises:
        UserError: the output is not empty or cannot be written, or the data are bad.
    """
    if not storage.is_empty(output):
        raise UserError(f"{output}: is not empty; use another --output, or delete it first")
    storage.check_writable(output)
    reach.check_writing(output, "the files")
    splits = [split for split in SPLITS if drawings.splits.get(split)]
    if not splits:
        drawings.parts("train")  # raises without it, with the names that make splits
    unfinished = storage.join(output, UNFINISHED_MARK)
    storage.write_bytes(unfinished, json.dumps({"source": drawings.data}).encode())
    written = dict.fromkeys(splits, 0)
    for split in splits:
        doing = f"{split}: reading{' and shuffling' if shuffle else ''}"

        def report(event: Event, split: str = split, doing: str = doing) -> None:
            if event["kind"] == "written":
                written[split] += event["rows"]
                doing = f"{split}: {written[split]:,} drawings written"
            say(doing)

        say(doing)
        dataset = drawings.dataset(split)
        if shuffle:
            dataset = dataset.random_shuffle(seed=seed)
        if file_format == "tfrecords":
            dataset = dataset.repartition(_TFRECORD_NAMES[split][1])
        with Events(report) as events:
            dataset.write_datasink(
                _Sink(output, split, drawings.class_names, file_format, events.tell)
            )
    if file_format == "parquet":
        mark = {"drawings": written, "classes": len(drawings.class_names), "source": drawings.data}
        text = json.dumps(mark, indent=1)
        storage.write_bytes(storage.join(output, _DESCRIPTION), text.encode())
    else:
        names = "".join(f"{name}\n" for name in drawings.class_names).encode()
        for prefix in ("training", "eval"):
            storage.write_bytes(storage.join(output, f"{prefix}.tfrecord.classes"), names)
    if not any(written.values()):
        raise UserError(f"{drawings.data}: no drawing can be used; delete {output}")
    storage.delete(unfinished)
    return written
