"""TensorFlow's side of a worker: devices, threads, the strategy, sums of a few numbers."""

import os
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray import devices
from rnnray.errors import UserError
from rnnray.quiet import muted_stderr


def quiet_tensorflow() -> None:
    """Import TensorFlow with this process's GPUs and without start-up messages.

    Code that imports TensorFlow in a worker process calls this first, or `configure_devices`. No
    setting of TensorFlow's turns the messages off: C++ writes them to file descriptor 2 before its
    log is initialised.
    """
    devices.see_reserved_gpus()
    if "tensorflow" in sys.modules:
        return  # two threads that mute at the same time could leave the process muted
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with muted_stderr():
        import tensorflow  # noqa: F401, PLC0415


def configure_devices(
    threads: int, *, small_operations: bool = True, needs_gpu: bool = False
) -> bool:
    """Set up TensorFlow's threads and GPU in this process; return whether it computes on a GPU.

    The one set-up of workers, trials, loaded checkpoints and benchmarks; it begins with
    `quiet_tensorflow`. A process computes on one GPU at most; the driver of a Ray cluster computes
    on none, since it reserves none. Where TensorFlow has computed in this process before, its
    threads and devices stay, with a warning if `threads` asks for others.

    Args:
        threads: number of threads for computation; 0 for one for each CPU of this process.
        small_operations: the work is many small operations, some of which can run at the same
            time; false for a sequence of large ones, as in a recurrence's loop, and under XLA.
        needs_gpu: raise where there is no GPU to compute on.

    Raises:
        UserError: `needs_gpu` is true and TensorFlow sees no GPU.
    """
    quiet_tensorflow()
    import tensorflow as tf  # noqa: PLC0415

    wanted = min(threads or devices.available_cpus(), devices.available_cpus())
    # Unrolled recurrences are many small operations, and running two at once beats splitting
    # each: 6,000 against 4,900 sketches/s in training the book's model on two cores.
    inter = max(2, wanted) if threads else wanted
    intra = max(1, wanted // 2) if threads and small_operations else wanted
    gpus = tf.config.list_physical_devices("GPU")
    gpus = [] if devices.reserved_gpus() == [] else gpus[:1]
    if needs_gpu and not gpus:
        raise UserError(
            f"a GPU is reserved on {socket.gethostname()}, and TensorFlow sees none there: install "
            "rnnray[gpu] and a recent NVIDIA driver on that node (nvidia-smi shows both), or ask "
            "for no GPU"
        )
    try:
        tf.config.threading.set_inter_op_parallelism_threads(inter)
        tf.config.threading.set_intra_op_parallelism_threads(intra)
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            # Otherwise TensorFlow takes the whole card, and no second process fits on it.
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # TensorFlow has computed already, and takes no other settings
        if threads:
            warnings.warn(
                f"TensorFlow is at work in this process already: it keeps its own number of "
                f"threads instead of {threads}; load the model before anything else computes",
                stacklevel=3,
            )
        return bool(tf.config.list_logical_devices("GPU"))
    return bool(gpus)


def without_cudnn(model: Any) -> None:
    """Let a model's recurrent layers compute without cuDNN, whose operations XLA cannot compile.

    `keras.layers.LSTM.inner_loop` takes cuDNN wherever it sees a GPU, and then keeps XLA from
    compiling the layer.
    """
    # Nested ones too, as in Bidirectional, which the public `layers` lacks; tried with Keras 3.15.
    for layer in model._flatten_layers():
        if hasattr(layer, "use_cudnn"):
            layer.use_cudnn = False


def create_strategy(workers: int) -> Any:
    """Return MultiWorkerMirroredStrategy over TF_CONFIG's workers; the default one for one worker.

    With the default strategy a sum over workers is the number itself, so one code serves both.
    """
    import tensorflow as tf  # noqa: PLC0415

    if workers == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MultiWorkerMirroredStrategy()


AddUp = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


class Sums:
    """Sums of a few numbers over all workers, outside of the training step.

    Every worker must call it the same number of times, in the same order.
    """

    def __init__(self, strategy: Any, size: int) -> None:
        import tensorflow as tf  # noqa: PLC0415

        def add_up(values: Any) -> Any:
            context = tf.distribute.get_replica_context()
            # identity: an argument of the replica has no device yet, and the sum needs one.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

        @tf.function(input_signature=[tf.TensorSpec([size], tf.float64)], autograph=False)
        def run(values: Any) -> Any:
            return strategy.run(add_up, args=(values,))

        self._run = run

    def __call__(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [size] of this worker -> float64 [size], summed over all workers."""
        result: npt.NDArray[np.float64] = self._run(values).numpy()
        return result
