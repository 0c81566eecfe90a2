"""What training and evaluation count of predictions, with one rule for ties and for NaN.

It holds in compiled code too.
"""

from typing import Any

from keras import ops

_NEVER = 2**30  # more rivals than there are classes


def rivals(targets: Any, logits: Any) -> Any:
    """Return the number of classes that are at least as probable as the right one.

    Ties count against a prediction. So does NaN: where the right class is NaN, they are more than
    there are classes.
    It counts what is *less*: under `tf.function` the graph optimiser turns the negation of a < b
    into a >= b, which is false for NaN.

    Args:
        targets: int [...], class indices.
        logits: float [..., classes].

    Returns:
        int32 [...], 0 where the right class is strictly the most probable one.
    """
    logits = ops.convert_to_tensor(logits)
    right = ops.take_along_axis(logits, ops.cast(targets, "int32")[..., None], axis=-1)
    less = ops.sum(ops.cast(logits < right, "int32"), axis=-1)
    return ops.where(ops.isnan(right[..., 0]), _NEVER, logits.shape[-1] - 1 - less)
