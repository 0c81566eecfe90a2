"""What tasks count of predictions, right in compiled code for ties and for NaN."""

from typing import Any

from keras import ops

NEVER = 2**30
"""More rivals than there are classes."""


def rivals(targets: Any, logits: Any) -> Any:
    """Return the number of classes that are at least as probable as the right one.

    Ties count against a prediction. So does NaN: `NEVER` where the right class is NaN.
    It counts what is *less*: under `tf.function` the graph optimiser turns the negation of a < b
    into a >= b, which is false for NaN.

    Args:
        targets: int [...], class indices.
        logits: float [..., classes].

    Returns:
        int32 [...], 0 where the right class is strictly the most probable one.
    """
    right = ops.take_along_axis(logits, ops.cast(targets, "int32")[..., None], axis=-1)
    less = ops.sum(ops.cast(logits < right, "int32"), axis=-1)
    return ops.where(ops.isnan(right[..., 0]), NEVER, logits.shape[-1] - 1 - less)
