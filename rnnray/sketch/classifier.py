"""A trained sketch classifier, loaded from a checkpoint and ready to classify."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnnray import predictions, storage
from rnnray.errors import UserError
from rnnray.packaged import CLASSIFIER
from rnnray.predictions import ClassProbability, Floats
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.canvas import drawing_to_ink
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_task import padded
from rnnray.training import checkpoints, strategy, task_files
from rnnray.training.checkpoints import CLASSES

_ROWS = 256  # of every batch; see `predictions`
_WHAT = "the sketch classifier"


def read_checkpoint(uri: str) -> tuple[SketchConfig, tuple[str, ...]]:
    """Return the configuration and the class names of a sketch classifier's checkpoint.

    Raises:
        UserError: the folder is no such checkpoint.
    """
    config = task_files.read_config(uri, SketchConfig, _WHAT, "train_sketch")
    return config, task_files.read_classes(uri, _WHAT)


class SketchClassifier:
    """The classifier of a checkpoint.

    Args:
        checkpoint: path or URI of the checkpoint's folder; by default the classifier that comes
            with the package, of the 345 categories of Quick, Draw!.
        threads: number of computing threads; 0 for one a CPU. If TensorFlow has computed in this
            process before, it keeps its own number, with a warning.
        mirror: use the mean of the probabilities of a drawing and its mirror image (left to right),
            which takes twice the time.

    Raises:
        UserError: the folder is not a checkpoint of the sketch classifier.
    """

    def __init__(
        self, checkpoint: str = CLASSIFIER, *, threads: int = 0, mirror: bool = False
    ) -> None:
        self._mirror = mirror
        self.config, self.class_names = read_checkpoint(checkpoint)
        strategy.configure_devices(threads)
        import tensorflow as tf  # noqa: PLC0415

        from rnnray.sketch import sketch_model  # noqa: F401, PLC0415  (registers our layers)

        self.model = checkpoints.fetch_model(checkpoint)
        self._logits = tf.function(
            lambda ink: self.model(ink, training=False),
            input_signature=[tf.TensorSpec([_ROWS, self.config.model.max_points, 3], tf.float32)],
            autograph=False,
        )

    def classify(self, drawing: Any, *, top: int = 5, y_up: bool = False) -> list[ClassProbability]:
        """Return the most probable classes of a drawing in any usual form.

        Args:
            drawing: list of strokes, each a list of points (`[x, y]`, `{"x": x, "y": y}`) or two
                lists x and y, in any unit, simplified or not; see
                `rnnray.sketch.data.canvas.drawing_to_ink`.
            top: number of classes; fewer if the checkpoint has fewer.
            y_up: y grows upwards, not downwards as on screens.

        Returns:
            The classes, the most probable first.

        Raises:
            UserError: it is no drawing: fewer than 2 points, NaN, another form.
        """
        ink = drawing_to_ink(drawing, y_up=y_up)
        rows = sketch_table.from_inks([ink], [sketch_table.UNKNOWN_CLASS], self.class_names)
        return predictions.named(self.log_probabilities(rows), self.class_names, top)

    def log_probabilities(self, drawings: pa.Table) -> Floats:
        """Return the natural logarithms of the probabilities: float32 [drawings, classes].

        Raises:
            UserError: a row of the sketch table is no ink (`sketch_table.bad_rows`).
        """
        for row, reason in sketch_table.bad_rows(drawings, len(self.class_names), labelled=False)[
            :1
        ]:
            raise UserError(f"drawing {row}: {reason}")
        inks = [
            padded(drawings.slice(start, _ROWS), self.config.model)[0]
            for start in range(0, len(drawings), _ROWS)
        ]
        logarithms = self._logarithms(inks)
        if self._mirror:
            mirrored = self._logarithms([ink * np.array([-1, 1, 1], np.float32) for ink in inks])
            logarithms = np.logaddexp(logarithms, mirrored) - np.float32(np.log(2))
        return logarithms

    def _logarithms(self, inks: Sequence[Floats]) -> Floats:
        """Return the logarithms of the probabilities of padded ink."""
        batches = ((ink,) for ink in inks)
        logits = predictions.outputs_of(self._logits, batches, _ROWS, len(self.class_names))
        return predictions.log_probabilities(logits)

    def export(self, folder: str) -> None:
        """Write a SavedModel: float32 [n, max_points, 3] -> probabilities float32 [n, classes].

        Its endpoint is `serve`; classes.txt in the folder has the class names.
        """
        import keras  # noqa: PLC0415

        probabilities = keras.layers.Softmax(name="probabilities")(self.model.output)
        with tempfile.TemporaryDirectory() as temporary:
            target = Path(temporary) / "model"
            keras.Model(self.model.input, probabilities).export(target, verbose=False)
            names = "".join(f"{name}\n" for name in self.class_names)
            (target / CLASSES).write_text(names, encoding="utf-8")
            storage.copy_folder(target, folder)
