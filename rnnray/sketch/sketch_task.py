"""The sketch classifier as a task of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.shortening import shortened
from rnnray.sketch.sketch_config import SketchConfig, SketchModelConfig
from rnnray.training import model_card, task_files
from rnnray.training.checkpoints import CLASSES
from rnnray.training.model_card import ModelCard
from rnnray.training.task import ClassifierTask

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class SketchTask(ClassifierTask):
    """Classify drawings into `class_names`."""

    config: SketchConfig
    class_names: tuple[str, ...]

    row_unit: ClassVar[str] = "sketches"
    unit: ClassVar[str] = "sketches"
    evaluation_rows: ClassVar[int] = 256
    unrolls: ClassVar[bool] = True

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """Return a new classifier."""
        from rnnray.sketch import sketch_model  # noqa: PLC0415  (imports Keras)

        return sketch_model.build(self.config.model, len(self.class_names), unroll=unroll)

    def batch(
        self, rows: pa.Table
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return ink [rows, max_points, 3], class indices int64 [rows], float32 weights [rows]."""
        ink, classes = padded(rows, self.config.model)
        return ink, classes, sketch_table.weights_of(rows)

    def objective(self, row_losses: Any, logits: Any) -> Any:
        """Return the losses, or with label smoothing the cross-entropy to smoothed targets."""
        smoothing = self.config.label_smoothing
        if not smoothing:
            return row_losses
        from keras import ops  # noqa: PLC0415

        uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
        return (1 - smoothing) * row_losses + smoothing * uniform

    def checkpoint_files(self) -> Mapping[str, str]:
        """Return the configuration, the class names, and the model card."""
        return task_files.files_of(self.config, self._card(), self.class_names)

    def _card(self) -> ModelCard:
        names = ", ".join(map(model_card.code, self.class_names))
        return ModelCard(
            title="Sketch classifier",
            does=(
                "Takes a drawing as strokes, and gives a probability for each of "
                f"{len(self.class_names)} classes, in the order of `{CLASSES}`: {names}."
            ),
            data=(
                f"Drawings of {model_card.code(self.config.data)}. "
                f"{model_card.split_text(self.config.split)} Validation selects the checkpoint; "
                "test drawings are not seen in training."
            ),
            licence=(
                "Quick, Draw! drawings are Google's, [CC BY 4.0]"
                "(https://creativecommons.org/licenses/by/4.0/): name the source where you publish "
                "them or what was made of them. `demo` drawings are generated. Other data carry "
                "the licence of whoever made them."
            ),
            not_for=(
                "Decisions about people: drawings say nothing of who drew them. Drawings of other "
                "things than the classes: one of them is named in any case, and the probability "
                "is no measure of whether the drawing shows any. Photographs, handwriting, and "
                "bitmaps without strokes. The drawings of Quick, Draw! were made in 20 seconds by "
                "people who knew the word; their idea of a thing is not everybody's."
            ),
        )


def padded(
    rows: pa.Table, model: SketchModelConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return a model's input of the drawings of a sketch table; see `sketch_table.padded`."""
    if model.long_drawings == "simplify":
        rows = shortened(rows, model.max_points)
    return sketch_table.padded(rows, model.max_points)
