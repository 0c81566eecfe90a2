"""Batch classification: drawings in, the five most probable classes of each out, as Parquet."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray import storage
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.sketch.classifier import ClassifyingActor, SketchClassifier
from rnnray.sketch.drawings import Drawings
from rnnray.sketch.evaluation import TOP, judge_with
from rnnray.sketch.table import ORIGIN_FIELDS

SCHEMA = pa.schema(
    [
        *ORIGIN_FIELDS,
        pa.field("classes", pa.list_(pa.string())),  # the most probable first
        pa.field("probabilities", pa.list_(pa.float32())),
    ]
)


class _Predictor(ClassifyingActor):
    """Classifies batches."""

    def __call__(self, drawings: pa.Table) -> pa.Table:
        order, probabilities = top_classes(self.classifier, drawings)
        names = np.array(self.classifier.class_names, dtype=object)
        return pa.table(
            [
                *(drawings[field.name] for field in ORIGIN_FIELDS),
                pa.array(names[order].tolist(), pa.list_(pa.string())),
                pa.array(probabilities.tolist(), pa.list_(pa.float32())),
            ],
            schema=SCHEMA,
        )


def top_classes(classifier: SketchClassifier, drawings: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The most probable classes of each drawing: int64 [drawings, 5] indices and float32
    [drawings, 5] probabilities, the most probable first; fewer where there are fewer classes.
    """
    scores = classifier.log_probabilities(drawings)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return order, np.exp(np.take_along_axis(scores, order, axis=1))


def classify(
    checkpoint: str, drawings: Drawings, output: str, *, workers: int | None = None
) -> int:
    """Classify every drawing of a source, and write one Parquet file in the source's order.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        drawings: labelled or not.
        output: path or URI; it appears when it is whole.
        workers: processes that classify.

    Returns:
        The number of drawings.

    Raises:
        UserError: not a checkpoint, bad data, or an output that cannot be written.
    """
    folder, _, name = storage.absolute(output).rpartition("/")
    storage.check_writable(folder)
    predictions = judge_with(
        drawings.dataset("all", origin=True),
        _Predictor,
        workers,
        checkpoint=checkpoint,
    )
    progress = Every()
    count = 0
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / name
        with pq.ParquetWriter(file, SCHEMA, write_page_checksum=True) as writer:
            for table in predictions.iter_batches(batch_size=None, batch_format="pyarrow"):
                writer.write_table(table.cast(SCHEMA))
                count += len(table)
                if progress():
                    say(f"classified {count:,} drawings")
        if count == 0:
            raise UserError(f"{drawings.data}: no drawing can be used; nothing is written")
        storage.put_file(file, f"{folder}/{name}")
    return count
