"""A step of a worker: sum over workers, clipping, optimizer, learning-rate schedule, dropout.

Gradients are summed over the workers, then divided by the weight of the global batch, then clipped,
then applied, so that N workers compute what one computes. `keras.Model.fit` cannot do that
under MultiWorkerMirroredStrategy (keras issues 20585 and 20329), and a Keras optimizer inside
`strategy.run` would clip before the sum.

Functions are compiled without AutoGraph, as Keras compiles its own: it would translate the source
of every layer at each start, and Keras models need none of it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnray.training.faults.faulty_task import checked_gradients, checked_outputs, checked_rows
from rnnray.training.faults.watchdog import WAITS, Pulse
from rnnray.training.strategy import Sums
from rnnray.training.task import Task
from rnnray.training.training_options import OptimizerConfig, TrainingConfig

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
    """Return a compiled `step(inputs, targets, weights, flags)`.

    Args:
        strategy: the strategy in whose scope model and optimizer were made.
        model: the model.
        optimizer: an optimizer that does not clip; see `build_optimizer`.
        task: the problem.
        options: say how gradients are clipped, and whether steps that are not finite are skipped.
        flags_size: number of flags; see `rnnray.training.worker.Flags`.
        xla: compile the forward and backward pass with XLA.
        timed: return times, too.
        arrivals: a `counter` that grows when this worker's part of the sum is ready.
        after: called after each change of the weights.

    Returns:
        A function of this worker's rows, their weights float32 [rows] (0 leaves a row out), and
        float32 [flags_size]. It returns float32 [2 + metrics + flags_size + 1]: weights, loss,
        metrics and flags, summed over all workers, then the norm of the gradient of the global
        batch before it is clipped. If `timed`, it also returns float64 [2], seconds of this
        worker's clock: when its part of the sum was ready, and when the sum was there.
    """
    variables = model.trainable_variables
    sizes = [math.prod(variable.shape) for variable in variables]
    moving = [v for v in model.non_trainable_variables if "float" in str(v.dtype)]
    count = 2 + len(task.metric_names) + flags_size

    def forward_and_backward(inputs: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = _outputs(task, model(inputs, training=True))
            row_losses = _row_losses(task, targets, logits, weights)
            losses = row_losses * weights
            loss = tf.reduce_sum(task.objective(row_losses, logits) * weights)
        gradients = checked_gradients(task, tape.gradient(loss, variables), variables)
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)
        return flat, _sums(task, targets, logits, losses, weights)

    if xla:
        # Without the sum over workers, which XLA cannot compile on CPUs.
        forward_and_backward = tf.function(forward_and_backward, jit_compile=True, autograph=False)

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

    @tf.function(autograph=False)
    def step(inputs: Any, targets: Any, weights: Any, flags_: Any) -> Any:
        vector, weight, norm, finite, *times = strategy.run(
            in_replica, args=(inputs, targets, weights, flags_)
        )
        *flat, sums = tf.split(vector, [*sizes, count])
        sums = tf.concat([sums, norm[None]], 0)
        gradients = [
            tf.reshape(gradient, variable.shape) / weight
            for gradient, variable in zip(flat, variables, strict=True)
        ]
        if options.skip_nonfinite:
            tf.cond(finite, lambda: apply(gradients), lambda: None)
        else:
            apply(gradients)
        if not timed:
            return sums
        with tf.device("CPU:0"):
            return sums, tf.stack([time[0] for time in times])

    return step


def make_evaluation_step(model: Any, task: Task) -> Step:
    """Return a compiled `step(inputs, targets, weights)` of this worker alone.

    It returns float32 [2 + metrics]: weights, loss, the metrics, summed over the rows.
    """

    @tf.function(autograph=False)
    def step(inputs: Any, targets: Any, weights: Any) -> Any:
        logits = _outputs(task, model(inputs, training=False))
        losses = _row_losses(task, targets, logits, weights) * weights
        return _sums(task, targets, logits, losses, weights)

    return step


def counter() -> Any:
    """Return a counter, int64, that other threads may read while a step runs."""
    with tf.device("CPU:0"):
        return tf.Variable(0, trainable=False, dtype=tf.int64)


def _clock_after(vector: Any, arrivals: Any = None) -> Any:
    """Return float64 [2], whose first element is the time when a vector was computed, on a GPU too.

    A counter `arrivals` grows at that time.
    """
    first = vector[0]
    with tf.device("CPU:0"):
        # A GPU's operations end later than they are issued, so a copy of a result waits for them.
        # The copy is returned, or TensorFlow would leave it out.
        value = tf.cast(first, tf.float64)
        with tf.control_dependencies([value]):
            if arrivals is not None:
                arrivals.assign_add(1)
            return tf.stack([tf.timestamp(), value])


def _outputs(task: Task, outputs: Any) -> Any:
    return keras.tree.map_structure(
        lambda output: tf.cast(output, tf.float32), checked_outputs(task, outputs)
    )


def _row_losses(task: Task, targets: Any, logits: Any, weights: Any) -> Any:
    return checked_rows(task, "row_losses", task.row_losses(targets, logits), weights.shape[0])


def _sums(task: Task, targets: Any, logits: Any, losses: Any, weights: Any) -> Any:
    sums = [tf.reduce_sum(weights), tf.reduce_sum(losses)]
    if not task.metric_names:
        return tf.stack(sums)
    metrics = checked_rows(
        task, "row_metrics", task.row_metrics(targets, logits), weights.shape[0], task.metric_names
    )
    return tf.concat([sums, tf.reduce_sum(metrics * weights[:, None], 0)], 0)


# The batch size of the book, to which scale_learning_rate refers.
_BASE_BATCH_SIZE = 32


@keras.saving.register_keras_serializable("rnnray")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A linear rise to `peak` over `warmup_steps`, then half a cosine to zero at `total_steps`.

    Our own, because Keras's CosineDecay with a warm-up target takes its decay_steps without the
    warm-up and starts the first step at exactly zero.

    Args:
        peak: highest learning rate.
        warmup_steps: number of steps of the rise.
        total_steps: number of all steps.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at a step, a scalar."""
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / max(self.warmup_steps, 1)
        done = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        fall = 0.5 * (1 + keras.ops.cos(math.pi * keras.ops.clip(done, 0.0, 1.0)))
        return self.peak * keras.ops.where(step < self.warmup_steps, rise, fall)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def build_optimizer(config: TrainingConfig, total_steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a run of `total_steps` steps, without clipping: see `clip`."""
    options = config.optimizer
    peak = options.learning_rate
    if config.scale_learning_rate:
        peak *= config.global_batch_size / _BASE_BATCH_SIZE
    rate: float | WarmupCosine = peak
    if options.schedule == "cosine":
        rate = WarmupCosine(peak, round(options.warmup_share * total_steps), total_steps)
    match options.name:
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=options.momentum)
        case "adam":
            return keras.optimizers.Adam(rate)
        case "nadam":
            return keras.optimizers.Nadam(rate)
        case "adamw":
            optimizer = keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            return optimizer


def clip(gradients: Sequence[Any], options: OptimizerConfig) -> list[Any]:
    """Return the gradients of the global batch, clipped.

    The optimizer's own `clipnorm` clips before the sum over workers: N workers would clip N local
    gradients instead of the one of the global batch.
    """
    if options.clip == "none":
        return list(gradients)
    squares = [keras.ops.sum(keras.ops.square(gradient)) for gradient in gradients]
    if options.clip == "global":
        squares = [sum(squares)] * len(gradients)
    # The divisor is clip_norm at least, so a small gradient is multiplied by exactly 1.
    return [
        gradient
        * (options.clip_norm / keras.ops.maximum(keras.ops.sqrt(square), options.clip_norm))
        for gradient, square in zip(gradients, squares, strict=True)
    ]


COMMON_SEED = "same_on_all_workers"
"""Name of the seed generators whose numbers do not depend on the worker: those of layers that give
each row its own numbers."""


class MovingStatistics:
    """The moving statistics of batch normalisation, of which each worker moves its own.

    Args:
        strategy: the strategy in whose scope the model was made.
        model: a model with such statistics, or without.
        workers: number of workers.
        pulse: hears that this worker waits for the others.
    """

    def __init__(self, strategy: Any, model: Any, workers: int, pulse: Pulse) -> None:
        self._scope, self._workers = strategy.scope, workers
        self._variables = [v for v in model.non_trainable_variables if "float" in str(v.dtype)]
        add_up = Sums(strategy, sum(np.size(v) for v in self._variables))
        self._add_up = pulse.around(WAITS, add_up)

    def average(self) -> None:
        """Set them to the mean over the workers: the checkpoint would have those of rank 0 alone.

        Every worker must call it.
        """
        if self._workers == 1 or not self._variables:
            return
        values = [np.asarray(keras.ops.convert_to_numpy(v)) for v in self._variables]
        flat = np.concatenate([value.ravel() for value in values]).astype(np.float64)
        mean = self._add_up(flat) / self._workers
        parts = np.split(mean, np.cumsum([value.size for value in values])[:-1])
        with self._scope():
            for variable, value, part in zip(self._variables, values, parts, strict=True):
                variable.assign(part.reshape(value.shape).astype(value.dtype))


class DropoutMasks:
    """The seed generators of dropout layers: masks follow from seed, rank, epoch and step.

    The state of a Keras seed generator is a key and a counter of its masks. Keras does not save it.
    Generators named `COMMON_SEED` do not depend on the rank.

    Args:
        strategy: the strategy in whose scope the model was made.
        model: a model with dropout layers, or without.
        seed: the run's seed.
        rank: this worker's rank.
    """

    def __init__(self, strategy: Any, model: Any, seed: int, rank: int) -> None:
        self._scope, self._seed, self._rank = strategy.scope, seed, rank
        self._states = [
            v for v in model.non_trainable_variables if v.path.endswith("generator_state")
        ]
        self._first = np.zeros(len(self._states), np.int64)

    def begin(self, epoch: int, given: Sequence[int]) -> None:
        """Begin an epoch, or go on in it.

        Args:
            epoch: number of epochs that are done.
            given: result of the method `given` there; empty at the beginning of the epoch.
        """
        with self._scope():
            for index, state in enumerate(self._states):
                rank = 0 if COMMON_SEED in state.path else self._rank
                entropy = (self._seed, index, rank, epoch, 0)
                key, first = np.random.SeedSequence(entropy).generate_state(2) >> 1
                self._first[index] = first
                counter = int(first) + (given[index] if index < len(given) else 0)
                state.assign(np.array([key, counter % 2**31], np.dtype(state.dtype)))

    def given(self) -> list[int]:
        """Return the number of masks of each generator in this epoch, the same on all workers."""
        counters = [int(keras.ops.convert_to_numpy(state)[1]) for state in self._states]
        return [
            (counter - int(first)) % 2**31
            for counter, first in zip(counters, self._first, strict=True)
        ]
