"""The multiply-adds that a machine reaches at most, and those that a model takes."""

import time
from typing import Any

from rnnray.training import strategy

_SIZE = 4096
_PRODUCTS = ("MatMul", "BatchMatMulV2", "Conv2D")


def limit() -> float:
    """Return the multiply-adds/s of a product of two large matrices in float32, on all cores."""
    strategy.quiet_tensorflow()
    import tensorflow as tf  # noqa: PLC0415

    matrix = tf.random.normal((_SIZE, _SIZE))
    seconds = []
    for _ in range(4):
        started = time.monotonic()
        tf.matmul(matrix, matrix).numpy()
        seconds.append(time.monotonic() - started)
    return float(_SIZE**3 / min(seconds))


def multiply_adds(model: Any, *shape: int) -> float:
    """Return the multiply-adds of a row in the matrix products and convolutions of a model.

    Args:
        model: Keras model without loops, so with unrolled recurrent layers.
        shape: shape of its float32 input, with the number of rows.
    """
    import tensorflow as tf  # noqa: PLC0415

    function = tf.function(lambda rows: model(rows, training=False), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec(shape)).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    found = profiler.profile(graph, cmd="op", options=options.with_empty_output().build())
    total = 0
    while found.children:  # each operation is a child of the one before
        (found,) = found.children
        total += found.float_ops if found.name in _PRODUCTS else 0
    return total / 2 / shape[0]
