#!/usr/bin/env python3
"""Evaluate a checkpoint of the sketch classifier: every drawing counts exactly once.

The last line of the output is JSON: top1 and top5 (shares), loss (nats per drawing), count, and
cropped (drawings longer than the classifier reads). --output writes the metrics of each class.
"""

import json
from typing import Annotated, Any, Literal

import tyro

from rnnray import job
from rnnray.packaged import CLASSIFIER
from rnnray.sketch.sketch_config import OnBadRecord
from rnnray.training.training_options import NoGpu


class Options(job.JobOptions):
    """Options of this job."""

    data: str
    """Drawings: demo, demo:COUNT, quickdraw, or a path or URI (formats: README)."""
    checkpoint: str = CLASSIFIER
    """Path or URI of a checkpoint folder (epoch-* in a run's folder); quickdraw is the classifier
    that comes with the package."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Split whose drawings are evaluated."""
    output: str | None = None
    """Path or URI of a JSON file for the metrics of each class, worst first: count, loss, top1,
    top5, precision, and the class that its drawings are most often taken for."""
    recognized_only: bool = False
    """Leave out drawings that the game did not recognise ("recognized": false in ndjson)."""
    y_up: bool = False
    """Read the files' y as growing upwards, as in mathematics, and not downwards, as on screens."""
    workers: job.BatchWorkers = None
    no_gpu: NoGpu = False
    mirror: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Classify each drawing and its mirror image, and use the mean of their probabilities."""
    on_bad_record: OnBadRecord = "error"


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import bad_records, cluster, storage
    from rnnray.sketch.classifier import read_checkpoint
    from rnnray.sketch.data.datasets import open_drawings
    from rnnray.sketch.sketch_evaluation import evaluate

    cluster.connect(verbose=config.verbose)
    trained, class_names = read_checkpoint(config.checkpoint)
    split = trained.split if config.data == trained.data else None  # as divided in training
    if config.output is not None:
        storage.check_writable(storage.absolute(config.output).rpartition("/")[0])
    gpu = False if config.no_gpu else None
    with bad_records.counted(config.on_bad_record) as bad:
        drawings = open_drawings(
            config.data,
            class_names=class_names,
            recognized_only=config.recognized_only,
            y_up=config.y_up,
            on_bad=bad,
            split=split,
        )
        result = evaluate(
            config.checkpoint,
            drawings,
            config.split,
            workers=config.workers,
            gpu=gpu,
            mirror=config.mirror,
        )
    metrics = {
        "top1": result.top1,
        "top5": result.top5,
        "loss": result.loss,
        "count": result.count,
        "cropped": result.cropped,
        "split": config.split,
        "checkpoint": config.checkpoint,
        "skipped": bad.count if bad else 0,
        "passed_over": drawings.say_passed_over(),
    }
    if config.output is not None:
        classes = sorted(
            result.of_classes(class_names), key=lambda row: (row["count"] == 0, row["top1"] or 0)
        )
        everything = job.finite(metrics | {"classes": classes})
        text = json.dumps(everything, indent=1, ensure_ascii=False)
        storage.write_bytes(storage.absolute(config.output), text.encode())
    return metrics | {"output": config.output}


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
