"""Speed of training a network of one's own: Keras's `fit`, and our loop on one and two workers."""

import importlib
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import ray

from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.training import driver, strategy
from rnnray.training.batches import Share, padded_batch
from rnnray.training.training_options import RunOptions

_EXAMPLES = Path(__file__).parents[2] / "examples"
_EPOCHS, _BATCH, _LENGTH, _UNITS = 4, 250, 50, 64  # 10,000 rows are whole batches


def own() -> dict[str, float]:
    """Measure the rows/s of training the network of examples/own_network.py, somewhat larger.

    Each way trains the same model on the same rows, in batches of the same size. The rate is that
    of the best epoch after the first; ours includes the waiting for data.

    Returns:
        fit, one_worker, two_workers: rows/s.

    Raises:
        UserError: the example is not there, since this is no clone.
    """
    example = _example()
    config = example.NetworkConfig(
        epochs=_EPOCHS, global_batch_size=_BATCH, length=_LENGTH, units=_UNITS
    )
    task, data = example.Subtraction(config), example.data(config)
    say(f"Keras's fit: {_EPOCHS} epochs of {data.training.rows:,} rows, batch {_BATCH}")
    rates = {"fit": _fit_rate(task, data, config)}
    with tempfile.TemporaryDirectory() as folder:
        for name, workers in (("one_worker", 1), ("two_workers", 2)):
            say(f"our loop: {workers} worker(s)")
            options = RunOptions(storage_path=folder, name=name, workers=workers)
            history = driver.train(task, config, options, data).history
            rates[name] = max(metrics["per_second"] for metrics in history[1:])
    for name, other in (("one_worker", "fit"), ("two_workers", "one_worker")):
        say(f"{name} over {other}: {rates[name] / rates[other]:.2f} times")
    return rates


def _example() -> Any:
    if not (_EXAMPLES / "own_network.py").is_file():
        raise UserError(f"{_EXAMPLES}: no example to measure; run this in a clone")
    sys.path.append(str(_EXAMPLES))
    module = importlib.import_module("own_network")
    ray.cloudpickle.register_pickle_by_value(module)  # the workers cannot import it
    return module


def _fit_rate(task: Any, data: Any, config: Any) -> float:
    strategy.quiet_tensorflow()
    import keras  # noqa: PLC0415  (seconds)

    rows = data.training.table(0)
    batch = padded_batch(task, Share(rows, len(rows)), len(rows))
    times = [time.monotonic()]
    keras.utils.set_random_seed(config.seed)
    model = task.build_model(unroll=True)
    model.compile(keras.optimizers.Adam(config.optimizer.learning_rate), loss="mse")
    model.fit(
        batch.inputs,
        batch.targets[:, None],  # type: ignore[index,call-overload]
        batch_size=config.global_batch_size,
        epochs=config.epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: times.append(time.monotonic())
            )
        ],
    )
    seconds = [end - start for start, end in pairwise(times[1:])]
    return float(len(rows) / min(seconds))
