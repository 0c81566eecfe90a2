"""Training the sketch classifier, from a source of drawings to a checkpoint and its plots."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnnray import storage
from rnnray.class_evaluation import Evaluation, summary
from rnnray.confusion_plot import confusion_matrix
from rnnray.predictions import top_classes
from rnnray.progress import say
from rnnray.sketch import sketch_plots
from rnnray.sketch.classifier import SketchClassifier
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.data.training_drawings import has_drawings, training_data
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_evaluation import evaluate, say_cropped
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training import driver
from rnnray.training.driver import TrainedRun
from rnnray.training.run_report import learning_curves
from rnnray.training.task import TOP
from rnnray.training.training_options import RunOptions

_GRID, _PREDICTED, _LENGTHS = 28, 12, 5000


def train(
    config: SketchConfig, drawings: Drawings, options: RunOptions, *, export: str | None = None
) -> dict[str, Any]:
    """Train, evaluate the best checkpoint on the held-out test split, draw plots.

    Args:
        config: the model and how to train it.
        drawings: the opened source; its `validation` split selects the best checkpoint.
        options: storage, workers and resources.
        export: folder or URI for a SavedModel of the best checkpoint.

    Returns:
        top1, top5, loss and count on the test split (on validation if there is no test split), and
        the paths of the written files.

    Raises:
        UserError: see `rnnray.training.driver.train`.
    """
    say(f"reading the drawings of {drawings.data}")
    split = "test" if has_drawings(drawings, "test") else "validation"
    if split == "validation":
        say(
            "no drawings in the test split: the best checkpoint will be evaluated on the "
            "validation split only"
        )
    data = training_data(drawings, config)
    sample = _first(drawings, "train", _LENGTHS)
    max_points = config.model.max_points
    cropped = int((sketch_table.lengths_of(sample) > max_points).sum())
    say_cropped(cropped, len(sample), config.model, f"first {len(sample):,} training drawings")
    run = driver.train(SketchTask(config, drawings.class_names), config, options, data)
    say(f"evaluating the best checkpoint on the {split} split")
    evaluation = evaluate(run.best, drawings, split, gpu=options.wants_gpu())
    classifier = SketchClassifier(run.best)
    folder = _draw(run, classifier, drawings, sample, split, evaluation)
    if export is not None:
        classifier.export(export)
    return summary(run, evaluation, split, folder) | {"export": export}


def _draw(
    run: TrainedRun,
    classifier: SketchClassifier,
    drawings: Drawings,
    training: pa.Table,
    split: str,
    evaluation: Evaluation,
) -> str:
    """Draw the plots beside the checkpoints; return the path or URI of their folder."""
    names = drawings.class_names
    held_out = _first(drawings, split, _PREDICTED)
    inks = sketch_table.inks_of(training)
    order, probabilities = top_classes(classifier.log_probabilities(held_out), TOP)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sketch_plots.sketch_grid(
            folder / "sketches.png", inks[:_GRID], _labels(training, names)[:_GRID]
        )
        sketch_plots.length_histogram(
            folder / "lengths.png",
            np.array([len(ink) for ink in inks]),
            classifier.config.model.max_points,
        )
        learning_curves(
            folder / "learning_curves.png",
            run.history,
            metric_names=SketchTask.metric_names,
            score=SketchTask.score,
            share_label="share of drawings",
        )
        confusion_matrix(folder / "confusions.png", evaluation.confusion, names)
        sketch_plots.predictions(
            folder / "predictions.png",
            sketch_table.inks_of(held_out),
            _labels(held_out, names),
            [[names[i] for i in row] for row in order],
            probabilities,
        )
        target = storage.join(run.folder, "pictures")
        storage.copy_folder(folder, target)
    return target


def _first(drawings: Drawings, split: str, count: int) -> pa.Table:
    """Return the first drawings of a split, read by the cluster."""
    batches = (
        drawings.dataset(split).limit(count).iter_batches(batch_size=None, batch_format="pyarrow")
    )
    return pa.concat_tables(batches)


def _labels(drawings: pa.Table, class_names: tuple[str, ...]) -> list[str]:
    return [class_names[i] for i in drawings["class_index"].to_pylist()]
