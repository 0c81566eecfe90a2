"""One step of training, and of evaluation, on one worker of many.

Gradients are summed over the workers, then divided by the weight of the global batch, then clipped,
then applied, so that N workers compute what one computes. `keras.Model.fit` cannot do that
under MultiWorkerMirroredStrategy (keras issues 20585 and 20329), and a Keras optimizer inside
`strategy.run` would clip before the sum.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from rnnray.training.optimizer import clip
from rnnray.training.task import Task
from rnnray.training.training_config import OptimizerConfig

Step = Callable[..., Any]


def make_train_step(
    strategy: Any,
    model: Any,
    optimizer: Any,
    task: Task,
    options: OptimizerConfig,
    flags_size: int,
    *,
    xla: bool,
    timed: bool = False,
    arrivals: Any = None,
    after: Callable[[], None] = lambda: None,
) -> Step:
    """A compiled `step(inputs, targets, weights, flags)`.

    The arguments are this worker's rows, their weights float32 [rows] (how much each counts; 0
    leaves a row out), and float32 [flags_size], see `rnnray.training.flags`. Returns float32
    [2 + metrics + flags_size + 1], summed over all workers: weights, loss, the metrics, the flags;
    and the norm of the gradient of the global batch, before it is clipped.
    With `timed` it returns that and float64 [2], seconds of this worker's clock: when it had its
    part of the sum ready, and when the sum was there. `arrivals`, a counter, grows when it had.
    `after` is called when the weights have changed.
    """
    variables = model.trainable_variables
    sizes = [math.prod(variable.shape) for variable in variables]
    moving = [v for v in model.non_trainable_variables if "float" in str(v.dtype)]
    count = 2 + len(task.metric_names) + flags_size

    def forward_and_backward(inputs: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = tf.cast(model(inputs, training=True), tf.float32)
            row_losses = task.row_losses(targets, logits)
            losses = row_losses * weights
            loss = tf.reduce_sum(task.objective(row_losses, logits) * weights)
        gradients = tape.gradient(loss, variables)
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)
        return flat, _sums(task, targets, logits, losses, weights)

    if xla:
        # Without the sum over workers, which XLA cannot compile on CPUs.
        forward_and_backward = tf.function(forward_and_backward, jit_compile=True)

    def in_replica(inputs: Any, targets: Any, weights: Any, flags: Any) -> Any:
        before = [tf.identity(v.value) for v in moving] if options.skip_nonfinite else []
        flat, sums = forward_and_backward(inputs, targets, weights)
        # One vector, one collective operation: on CPUs each costs about a millisecond.
        context = tf.distribute.get_replica_context()
        mine = tf.concat([flat, sums, flags], 0)
        vector = context.all_reduce(tf.distribute.ReduceOp.SUM, mine)
        weight, loss = tf.maximum(vector[-count], 1.0), vector[1 - count]
        norm = tf.norm(vector[:-count]) / weight
        finite = tf.math.is_finite(norm) & tf.math.is_finite(loss)
        for variable, value in zip(moving, before, strict=False):
            variable.assign(tf.where(finite, variable.value, value))
        result = vector, weight, norm, finite
        if not timed:
            return result
        return (*result, _clock_after(mine, arrivals), _clock_after(vector))

    def apply(gradients: list[Any]) -> None:
        optimizer.apply(clip(gradients, options), variables)
        after()

    @tf.function
    def step(inputs: Any, targets: Any, weights: Any, flags_: Any) -> Any:
        vector, weight, norm, finite, *times = strategy.run(
            in_replica, args=(inputs, targets, weights, flags_)
        )
        *flat, numbers = tf.split(vector, [*sizes, count])
        numbers = tf.concat([numbers, norm[None]], 0)
        gradients = [
            tf.reshape(gradient, variable.shape) / weight
            for gradient, variable in zip(flat, variables, strict=True)
        ]
        if options.skip_nonfinite:
            tf.cond(finite, lambda: apply(gradients), lambda: None)
        else:
            apply(gradients)
        if not timed:
            return numbers
        with tf.device("CPU:0"):
            return numbers, tf.stack([time[0] for time in times])

    return step


def make_evaluation_step(model: Any, task: Task) -> Step:
    """A compiled `step(inputs, targets, weights)` of this worker alone.

    Returns float32 [2 + metrics]: weights, loss, the metrics, summed over the rows.
    """

    @tf.function
    def step(inputs: Any, targets: Any, weights: Any) -> Any:
        logits = tf.cast(model(inputs, training=False), tf.float32)
        return _sums(task, targets, logits, task.row_losses(targets, logits) * weights, weights)

    return step


def counter() -> Any:
    """A counter, int64, that other threads may read while a step runs."""
    with tf.device("CPU:0"):
        return tf.Variable(0, trainable=False, dtype=tf.int64)


def _clock_after(vector: Any, arrivals: Any = None) -> Any:
    """The time when a vector has been computed, on a GPU too; float64 [2], of which the first.

    A counter of `arrivals` grows then.
    """
    first = vector[0]
    with tf.device("CPU:0"):
        # A GPU's operations end later than they are issued. To have a value of theirs on the CPU
        # means to wait for it; it is returned, or TensorFlow would save itself the copy.
        value = tf.cast(first, tf.float64)
        with tf.control_dependencies([value]):
            if arrivals is not None:
                arrivals.assign_add(1)
            return tf.stack([tf.timestamp(), value])


def _sums(task: Task, targets: Any, logits: Any, losses: Any, weights: Any) -> Any:
    metrics = tf.reduce_sum(task.row_metrics(targets, logits) * weights[:, None], 0)
    return tf.concat([[tf.reduce_sum(weights), tf.reduce_sum(losses)], metrics], 0)
