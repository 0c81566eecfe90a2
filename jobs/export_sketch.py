#!/usr/bin/env python3
"""Export a sketch classifier for other programs: as ONNX, as LiteRT, or as a SavedModel.

It takes ink and gives probabilities, and has the names of the classes with it; README.md says how
to load it. An ONNX or LiteRT file is written only if its probabilities are the checkpoint's. The
last line of the output is JSON: output, format, classes (their number), and for such a file bytes
and largest_difference (between the probabilities).
"""

from pathlib import PurePosixPath
from typing import Any

from pydantic import field_validator

from rnnray import job
from rnnray.packaged import CLASSIFIER

FORMATS = {".onnx": "ONNX", ".tflite": "LiteRT", "": "SavedModel"}


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: str = CLASSIFIER
    """Path or URI of a checkpoint folder (epoch-* in a run's folder); quickdraw is the classifier
    that comes with the package."""
    output: str
    """Path or URI to write: a file that ends in .onnx (ONNX) or .tflite (LiteRT), or a folder
    (SavedModel)."""

    @field_validator("output")
    @classmethod
    def _with_known_ending(cls, output: str) -> str:
        if PurePosixPath(output).suffix not in FORMATS:
            raise ValueError("must end in .onnx or .tflite, or be a folder's name without a dot")
        return output


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import devices, storage
    from rnnray.progress import say
    from rnnray.sketch import sketch_export
    from rnnray.sketch.classifier import SketchClassifier

    output, ending = storage.absolute(config.output), PurePosixPath(config.output).suffix
    result = {"output": config.output, "format": FORMATS[ending]}
    storage.check_writable(output.rpartition("/")[0])
    # There recurrent layers would be cuDNN's, and products rounded to 10 bits.
    devices.hide_gpus()
    say(f"converting the classifier to {FORMATS[ending]}")
    if not ending:
        classifier = SketchClassifier(config.checkpoint)
        classifier.export(output)
        return result | {"classes": len(classifier.class_names)}
    made = sketch_export.model_file(config.checkpoint, ending)
    storage.write_bytes(output, made.content)
    say(f"its probabilities differ by at most {made.largest_difference:.1g} from the checkpoint's")
    return result | {
        "classes": made.classes,
        "bytes": len(made.content),
        "largest_difference": made.largest_difference,
    }


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
