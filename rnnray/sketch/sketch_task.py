"""The sketch classifier as a task of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from rnnray.sketch.data import sketch_table
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.training.task import Task, rivals

if TYPE_CHECKING:
    import keras

CONFIG_FILE, CLASSES_FILE = "config.yaml", "classes.txt"
TOP = 5
"""Number of most probable classes among which the right one counts as found."""


@dataclass(frozen=True)
class SketchTask(Task):
    """Classify drawings into `class_names`."""

    config: SketchConfig
    class_names: tuple[str, ...]

    row_unit: ClassVar[str] = "sketches"
    unit: ClassVar[str] = "sketches"
    metric_names: ClassVar[tuple[str, ...]] = ("top1", "top5")
    shares: ClassVar[tuple[str, ...]] = metric_names
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_top1", "max")
    evaluation_rows: ClassVar[int] = 256
    unrolls: ClassVar[bool] = True

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """Return a new classifier."""
        from rnnray.sketch import model  # noqa: PLC0415  (imports Keras)

        return model.build(self.config.model, len(self.class_names), unroll=unroll)

    def batch(
        self, rows: pa.Table
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return ink [rows, max_points, 3], class indices int64 [rows], float32 weights [rows]."""
        ink, classes = sketch_table.padded(rows, self.config.model.max_points)
        return ink, classes, sketch_table.weights_of(rows)

    def row_losses(self, targets: Any, logits: Any) -> Any:
        """Return the cross-entropy in nats, [rows]."""
        import keras  # noqa: PLC0415

        return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        """See `found`."""
        return found(targets, logits)

    def checkpoint_files(self) -> Mapping[str, str]:
        """Return the configuration and the class names."""
        return {
            CONFIG_FILE: yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False),
            CLASSES_FILE: "".join(f"{name}\n" for name in self.class_names),
        }


def found(targets: Any, logits: Any) -> Any:
    """Return 1 where the right class is the first, and where it is among the first `TOP`.

    A class as probable as the right one counts as before it, so ties and NaN never help.

    Args:
        targets: int [rows], class indices.
        logits: float [rows, classes], or the logarithms of probabilities.

    Returns:
        float32 [rows, 2], top-1 and top-5, 0 or 1.
    """
    from keras import ops  # noqa: PLC0415

    before = rivals(targets, logits)
    return ops.stack([ops.cast(before < k, "float32") for k in (1, TOP)], axis=1)
