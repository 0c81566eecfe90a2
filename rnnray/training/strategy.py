"""TensorFlow's side of a worker: devices, threads, the strategy, sums over all workers."""

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.quiet import muted_stderr


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up messages, which no setting of its own turns off.

    They are written by C++ straight to file descriptor 2, before its log is initialised.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with muted_stderr():
        import tensorflow  # noqa: F401, PLC0415


def configure_devices(threads: int, *, small_operations: bool = True) -> bool:
    """Set TensorFlow up in a fresh process; true when it sees a GPU.

    Args:
        threads: that computation may keep busy; 0 leaves the choice to TensorFlow.
        small_operations: the work is many small operations, of which some can run at once; false
            for large ones one after the other, as in a recurrence's loop, and under XLA.
    """
    import tensorflow as tf  # noqa: PLC0415

    if threads:
        # Unrolled recurrences are many small operations, and running two at once beats splitting
        # each: 6,000 against 4,900 sketches/s in training the book's model on two cores.
        tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
        tf.config.threading.set_intra_op_parallelism_threads(
            max(1, threads // 2) if small_operations else threads
        )
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Otherwise TensorFlow takes the whole card, and no second process fits on it.
        tf.config.experimental.set_memory_growth(gpu, True)
    return bool(gpus)


def keep_on_loopback() -> None:
    """Let the workers of TF_CONFIG meet on 127.0.0.1; for workers that are all on one machine.

    Ray names them by the machine's outer address, which a laptop changes with its network, and
    which its firewall may close.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    workers = config["cluster"]["worker"]
    config["cluster"]["worker"] = [f"127.0.0.1:{worker.rpartition(':')[2]}" for worker in workers]
    os.environ["TF_CONFIG"] = json.dumps(config)


def create_strategy(workers: int) -> Any:
    """MultiWorkerMirroredStrategy over the workers of TF_CONFIG, or the default one for one worker.

    One code serves both: with the default strategy a sum over workers is the number itself.
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

        @tf.function(input_signature=[tf.TensorSpec([size], tf.float64)])
        def run(values: Any) -> Any:
            return strategy.run(add_up, args=(values,))

        self._run = run

    def __call__(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64 [size] of this worker -> float64 [size], summed over all workers."""
        result: npt.NDArray[np.float64] = self._run(values).numpy()
        return result
