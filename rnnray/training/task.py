"""The base class of tasks: model, rows, loss and metrics of a training run; top-1 and top-5."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    import keras

Arrays = npt.NDArray[Any] | tuple[npt.NDArray[Any], ...] | Mapping[str, npt.NDArray[Any]]
"""One array, or several as a tuple or by name, each [rows, ...]."""


class Task(Protocol):
    """A problem that the loop can train: a model, a loss, metrics, and how rows become tensors.

    A task inherits the defaults below. Tasks travel to the workers pickled by Ray; they hold
    configuration, not models or tensors.
    """

    row_unit: ClassVar[str] = "rows"
    """Name of rows for people: "sketches", "windows"."""
    unit: ClassVar[str] = "rows"
    """Name of what the weights of rows count: "sketches", "notes"."""
    metric_names: ClassVar[tuple[str, ...]] = ()
    """Names of the columns of `row_metrics`."""
    shares: ClassVar[tuple[str, ...]] = ()
    """Those metrics that are shares from 0 to 1, which people read in percent."""
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_loss", "min")
    """The selection metric (of validation, decides which checkpoint is best) and its direction."""
    evaluation_rows: ClassVar[int] = 256
    """Least number of rows of a batch in validation."""

    unrolls: ClassVar[bool] = False
    """True if `build_model` can unroll recurrences: many small operations instead of a loop."""
    output_count: ClassVar[int] = 1
    """Number of the model's outputs. If there are several, `row_losses` and `row_metrics` take them
    together, as the model returns them."""

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """Return a new model with fresh weights, from inputs to logits.

        `unroll`: write short recurrences as a sequence of operations without a loop, which is
        faster on a CPU.
        """
        ...

    def batch(self, table: pa.Table) -> tuple[Arrays, Arrays, npt.NDArray[np.float32]]:
        """Return inputs [rows, ...], targets [rows, ...] and weights [rows] of rows of the data,
        whose shapes are fixed except for the number of rows.

        A weight is the number that a row counts in all means: 1, or the number of a piece's notes.
        float64 becomes float32, as in Keras.
        """
        ...

    def row_losses(self, targets: Any, logits: Any) -> Any:
        """Return the mean loss of each row: float32 [rows]."""
        ...

    def objective(self, row_losses: Any, logits: Any) -> Any:
        """Return what training minimises, by default `row_losses`: float32 [rows]."""
        del logits
        return row_losses

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        """Return the mean metrics of each row in `metric_names`' order: float32 [rows, metrics]."""
        del targets, logits
        return None

    def checkpoint_files(self) -> Mapping[str, str]:
        """Return the text files beside the model in a checkpoint, from name to content."""
        return {}


TOP = 5
"""Number of most probable classes among which the right one counts as found."""
_NEVER = 2**30  # more rivals than there are classes, for NaN


def rivals(targets: Any, logits: Any) -> Any:
    """Return the number of classes that are at least as probable as the right one.

    Training and evaluation count with this one rule: ties count against a prediction, and so does
    NaN. Where the logit of the right class is NaN, there are more rivals than classes.
    The code counts the classes that are *less*: under `tf.function` the graph optimiser turns the
    negation of a < b into a >= b, which is false for NaN.

    Args:
        targets: int [...], class indices.
        logits: float [..., classes].

    Returns:
        int32 [...], 0 where the right class is strictly the most probable one.
    """
    from keras import ops  # noqa: PLC0415  (seconds; configurations need no TensorFlow)

    logits = ops.convert_to_tensor(logits)
    right = ops.take_along_axis(logits, ops.cast(targets, "int32")[..., None], axis=-1)
    less = ops.sum(ops.cast(logits < right, "int32"), axis=-1)
    return ops.where(ops.isnan(right[..., 0]), _NEVER, logits.shape[-1] - 1 - less)


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


class ClassifierTask(Task):
    """A task whose targets are the indices of classes: int [rows]."""

    metric_names: ClassVar[tuple[str, ...]] = ("top1", "top5")
    shares: ClassVar[tuple[str, ...]] = metric_names
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_top1", "max")

    def row_losses(self, targets: Any, logits: Any) -> Any:
        """Return the cross-entropy in nats, [rows]."""
        import keras  # noqa: PLC0415

        return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        """See `found`."""
        return found(targets, logits)
