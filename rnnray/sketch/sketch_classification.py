"""Batch classification: drawings in, the five most probable classes of each out, as Parquet."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray import storage
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.sketch.classifier import ClassifyingActor, read_checkpoint
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.data.sketch_table import ORIGIN_FIELDS
from rnnray.sketch.sketch_evaluation import judge_with, say_cropped
from rnnray.training.task import TOP

SCHEMA = pa.schema(
    [
        *ORIGIN_FIELDS,
        pa.field("classes", pa.list_(pa.string())),  # the most probable first
        pa.field("probabilities", pa.list_(pa.float32())),
    ]
)


_POINTS = pa.field("points", pa.int64())  # printed, not written


class _Predictor(ClassifyingActor):
    """Classifies the drawings of batches."""

    def __call__(self, drawings: pa.Table) -> pa.Table:
        order, probabilities = self.classifier.top_classes(drawings, TOP)
        names = np.array(self.classifier.class_names, dtype=object)
        return pa.table(
            [
                *(drawings[field.name] for field in ORIGIN_FIELDS),
                pa.array(names[order].tolist(), pa.list_(pa.string())),
                pa.array(probabilities.tolist(), pa.list_(pa.float32())),
                pa.array(sketch_table.lengths_of(drawings)),
            ],
            schema=SCHEMA.append(_POINTS),
        )


def classify(
    checkpoint: str,
    drawings: Drawings,
    output: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> int:
    """Classify every drawing of a source, and write one Parquet file in the source's order.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        drawings: an opened source, labelled or not.
        output: path or URI of the file, which appears only when it is whole.
        workers: number of classifying processes; None: see `judge_with`.
        gpu: see `judge_with`.

    Returns:
        The number of drawings.

    Raises:
        UserError: not a checkpoint, bad data, or an output that cannot be written.
    """
    config, _ = read_checkpoint(checkpoint)
    folder, _, name = storage.absolute(output).rpartition("/")
    storage.check_writable(folder)
    predictions = judge_with(
        drawings.dataset("all", origin=True),
        _Predictor,
        checkpoint,
        workers,
        gpu=gpu,
    )
    progress = Every()
    count = cropped = 0
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / name
        with pq.ParquetWriter(file, SCHEMA, write_page_checksum=True) as writer:
            for rows in predictions.iter_batches(batch_size=None, batch_format="pyarrow"):
                cropped += int((rows["points"].to_numpy() > config.model.max_points).sum())
                writer.write_table(rows.select(SCHEMA.names).cast(SCHEMA))
                count += len(rows)
                if progress():
                    say(f"classified {count:,} drawings")
        if count == 0:
            raise UserError(f"{drawings.data}: no drawing can be used; nothing is written")
        storage.put_file(file, f"{folder}/{name}")
    say_cropped(cropped, count, config.model)
    return count
