"""Batch classification: drawings in, the five most probable classes of each out, as Parquet."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from rnnray import batch_jobs, predictions
from rnnray.sketch.classifier import SketchClassifier, read_checkpoint
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.data.sketch_table import ORIGIN_FIELDS
from rnnray.sketch.sketch_evaluation import say_cropped
from rnnray.training.task import TOP

SCHEMA = pa.schema([*ORIGIN_FIELDS, *predictions.COLUMNS])


def _classified(classifier: SketchClassifier, drawings: pa.Table) -> pa.Table:
    logarithms = classifier.log_probabilities(drawings)
    columns = {field.name: drawings[field.name] for field in ORIGIN_FIELDS}
    columns |= predictions.columns(logarithms, classifier.class_names, TOP)
    cropped = sketch_table.lengths_of(drawings) > classifier.config.model.max_points
    return pa.table(columns | {"cropped": cropped})


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
        workers: number of classifying processes; None: see `batch_jobs.mapped`.
        gpu: see `batch_jobs.mapped`.

    Returns:
        The number of drawings.

    Raises:
        UserError: not a checkpoint, bad data, or an output that cannot be written.
    """
    config, _ = read_checkpoint(checkpoint)
    load = partial(SketchClassifier, checkpoint)
    rows = drawings.dataset("all", origin=True)
    count, others = batch_jobs.write_parquet(
        batch_jobs.mapped(rows, load, _classified, checkpoint, workers, gpu=gpu),
        SCHEMA,
        output,
        progress="classified {:,} drawings",
        nothing=f"{drawings.data}: no drawing can be used; nothing is written",
    )
    say_cropped(pc.sum(others["cropped"]).as_py(), count, config.model)
    return count
