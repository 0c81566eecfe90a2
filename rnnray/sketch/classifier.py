"""A trained sketch classifier, loaded from a checkpoint and ready to classify."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from rnnray import devices, storage
from rnnray.errors import UserError
from rnnray.packaged import CLASSIFIER, located
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.canvas import drawing_to_ink
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_task import CLASSES_FILE, CONFIG_FILE, padded
from rnnray.training import checkpoints, strategy
from rnnray.yaml_file import read_mapping

# Rows of every batch, filled up if needed: one shape is compiled once, and no result depends on the
# other rows.
_ROWS = 256


def read_checkpoint(uri: str) -> tuple[SketchConfig, tuple[str, ...]]:
    """Return the configuration and the class names of a sketch classifier's checkpoint.

    Raises:
        UserError: the folder is no such checkpoint.
    """
    uri = located(uri)
    config = storage.read_bytes(storage.join(uri, CONFIG_FILE))
    classes = storage.read_bytes(storage.join(uri, CLASSES_FILE))
    if config is None or classes is None:
        missing = CONFIG_FILE if config is None else CLASSES_FILE
        raise UserError(
            f"{uri}: not a checkpoint of the sketch classifier: it has no {missing}; checkpoints "
            "are the folders named epoch-* below --storage-path/--name"
        )
    try:
        checked = SketchConfig.model_validate(read_mapping(config, CONFIG_FILE))
    except (UserError, ValidationError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem else error
        raise UserError(f"{uri}/{CONFIG_FILE}: not the sketch classifier's ({reason})") from error
    return checked, tuple(classes.decode(errors="replace").split("\n")[:-1])


class ClassifyingActor:
    """Base of the actors of batch jobs; loads its classifier with the first batch.

    Not in the constructor: Ray passes on only the text of a failure there, and starts the actor
    again.
    """

    def __init__(self, checkpoint: str, actors: int, *, mirror: bool = False) -> None:
        self._checkpoint, self._actors, self._mirror = checkpoint, actors, mirror

    @cached_property
    def classifier(self) -> "SketchClassifier":
        """The checkpoint's classifier, with threads for its share of this node's CPUs."""
        threads = max(1, devices.node_cpus() // self._actors)
        return SketchClassifier(self._checkpoint, threads=threads, mirror=self._mirror)


class ClassProbability(NamedTuple):
    """Name of a class, and the probability from 0 to 1 that a drawing shows it."""

    name: str
    probability: float


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

        with tempfile.TemporaryDirectory() as temporary:
            folder = storage.fetch_folder(located(checkpoint), Path(temporary))
            self.model = checkpoints.load_model(folder)
        self._logits = tf.function(
            lambda ink: self.model(ink, training=False),
            input_signature=[tf.TensorSpec([_ROWS, self.config.model.max_points, 3], tf.float32)],
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
        order, probabilities = self.top_classes(rows, top)
        return [
            ClassProbability(self.class_names[index], float(probability))
            for index, probability in zip(order[0], probabilities[0], strict=True)
        ]

    def top_classes(
        self, drawings: pa.Table, top: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the classes of each drawing of a sketch table, the most probable first.

        Args:
            drawings: a sketch table.
            top: number of classes.

        Returns:
            int64 [drawings, top] class indices and float32 [drawings, top] probabilities; fewer
            columns if there are fewer classes.
        """
        scores = self.log_probabilities(drawings)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return order, np.exp(np.take_along_axis(scores, order, axis=1))

    def log_probabilities(self, drawings: pa.Table) -> npt.NDArray[np.float32]:
        """Return the natural logarithms of the probabilities: float32 [drawings, classes].

        Raises:
            UserError: a row of the sketch table is no ink (`sketch_table.bad_rows`).
        """
        for row, reason in sketch_table.bad_rows(drawings, len(self.class_names), labelled=False)[
            :1
        ]:
            raise UserError(f"drawing {row}: {reason}")
        parts = [np.zeros((0, len(self.class_names)), np.float32)]
        for start in range(0, len(drawings), _ROWS):
            ink, _ = padded(drawings.slice(start, _ROWS), self.config.model)
            scores = self._batch(ink)
            if self._mirror:
                mirrored = self._batch(ink * np.array([-1, 1, 1], np.float32))
                scores = np.logaddexp(scores, mirrored) - np.float32(np.log(2))
            parts.append(scores)
        return np.concatenate(parts)

    def _batch(self, ink: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Log probabilities of at most `_ROWS` drawings, as padded ink."""
        filled = np.zeros((_ROWS, *ink.shape[1:]), np.float32)
        filled[: len(ink)] = ink
        logits = self._logits(filled).numpy()[: len(ink)].astype(np.float32)
        shifted = logits - logits.max(1, keepdims=True)
        scores: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return scores

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
            (target / CLASSES_FILE).write_text(names, encoding="utf-8")
            storage.copy_folder(target, folder)
