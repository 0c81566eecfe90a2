"""What the training loop needs to know of a problem; the loop knows nothing else about it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    import keras


class Task(Protocol):
    """A problem that the loop can train: a model, a loss, metrics, and how rows become tensors.

    Tasks travel to the workers pickled by Ray; they hold configuration, not models or tensors.
    """

    row_unit: ClassVar[str]
    """What a row is, for people: "sketches", "windows"."""
    unit: ClassVar[str]
    """What the weights of rows count, for people: "sketches", "notes"."""
    metric_names: ClassVar[tuple[str, ...]]
    """Names of the columns of `row_metrics`."""
    score: ClassVar[tuple[str, Literal["max", "min"]]]
    """The validation metric that decides which checkpoint is best, and its direction."""
    evaluation_rows: ClassVar[int]
    """Rows of a batch in validation, at least."""

    unrolls: ClassVar[bool]
    """Whether `build_model` can unroll recurrences: many small operations instead of a loop."""

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """A new model with fresh weights, from inputs to logits.

        `unroll`: lay short recurrences out as a straight line of operations, faster on a CPU.
        """
        ...

    def batch(
        self, table: pa.Table
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32]]:
        """Inputs [rows, ...], targets [rows, ...] and weights [rows] of some rows of the data,
        fixed in shape but for the number of rows.

        A weight says for how many a row counts in all means: 1, or the notes of a piece.
        """
        ...

    def row_losses(self, targets: Any, logits: Any) -> Any:
        """The mean loss of each row: float32 [rows]."""
        ...

    def objective(self, row_losses: Any, logits: Any) -> Any:
        """What training minimises: `row_losses`, or another function of them, float32 [rows]."""
        ...

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        """The mean metrics of each row, in the order of `metric_names`: float32 [rows, metrics]."""
        ...

    def checkpoint_files(self) -> Mapping[str, str]:
        """Text files that stand beside the model in a checkpoint: name to content."""
        ...
