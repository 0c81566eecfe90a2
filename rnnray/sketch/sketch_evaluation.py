"""Evaluation of a sketch classifier: every drawing counts once, on any number of workers."""

from functools import partial

import pyarrow as pa

from rnnray import batch_jobs
from rnnray.class_evaluation import Evaluation, evaluated, judged
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.sketch.classifier import SketchClassifier, read_checkpoint
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import check_same_classes
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.sketch_config import SketchModelConfig

_FEW = 50  # number of drawings below which a share says little


def say_cropped(
    cropped: int, count: int, model: SketchModelConfig, which: str = "drawings"
) -> None:
    """Print how many of `count` drawings are longer than the classifier reads, if any are.

    Args:
        cropped: number of these drawings.
        count: number of all drawings.
        model: configuration of the classifier.
        which: name of the drawings.
    """
    if cropped:
        lost = {"crop": "the rest of each is cropped", "simplify": "each is simplified to as many"}
        say(
            f"{100 * cropped / count:.2g} % of the {which} are longer than {model.max_points} "
            f"points ({cropped:,} of {count:,}); {lost[model.long_drawings]} (--model.max-points)"
        )


def _judge(classifier: SketchClassifier, drawings: pa.Table) -> pa.Table:
    cropped = sketch_table.lengths_of(drawings) > classifier.config.model.max_points
    return judged(drawings, classifier.log_probabilities(drawings), cropped)


def evaluate(
    checkpoint: str,
    drawings: Drawings,
    split: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
    mirror: bool = False,
) -> Evaluation:
    """Evaluate a checkpoint on a split of a source.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        drawings: an opened source with the checkpoint's classes.
        split: train, validation, test or all.
        workers: number of classifying processes, on which the result does not depend.
        gpu: see `batch_jobs.mapped`.
        mirror: see `SketchClassifier`.

    Raises:
        UserError: not a checkpoint, other classes, bad data, no such split, or no drawings.
    """
    config, class_names = read_checkpoint(checkpoint)
    check_same_classes(drawings, class_names, f"the checkpoint {checkpoint}")
    if split != "all" and not drawings.splits.get(split):
        raise UserError(f"{drawings.data}: no {split} split; --split all evaluates every drawing")
    load = partial(SketchClassifier, checkpoint, mirror=mirror)
    rows = drawings.dataset(split)
    evaluation = evaluated(
        batch_jobs.mapped(rows, load, _judge, checkpoint, workers, gpu=gpu),
        len(class_names),
        unit="drawings",
        nothing=f"{drawings.data}: no drawings in the {split} split; --split all evaluates every "
        "drawing",
        model=f"{checkpoint}: the loss on the {split} split",
    )
    count = evaluation.count
    if count < _FEW and split != "all":
        say(f"only {count} drawings in the {split} split; --split all evaluates every drawing")
    say_cropped(evaluation.cropped, count, config.model)
    return evaluation
