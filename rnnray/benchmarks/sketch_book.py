"""The book's own pipeline and training, for comparison in benchmarks alone.

After A. Géron, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow, 3rd edition,
chapter 15, exercise 9, with its settings: batch 32, 5 parallel reads and parses, `fit`.
"""

import time
import warnings
from collections.abc import Sequence
from typing import Any

BATCH_SIZE = 32


def pipeline(shards: Sequence[str], max_points: int = 100) -> Any:
    """Return the book's `tf.data` pipeline over TFRecord shards, shuffled as for training.

    Yields ink float32 [32, longest in the batch or max_points, 3] and class_index int64 [32].
    """
    import tensorflow as tf  # noqa: PLC0415

    def parse(records: Any) -> tuple[Any, Any]:
        features = tf.io.parse_example(
            records,
            {
                "ink": tf.io.VarLenFeature(tf.float32),
                "shape": tf.io.FixedLenFeature([2], tf.int64),
                "class_index": tf.io.FixedLenFeature([1], tf.int64),
            },
        )
        flat = tf.sparse.to_dense(features["ink"])
        ink = tf.reshape(flat, [tf.size(records), -1, 3])
        return ink[:, :max_points], features["class_index"][:, 0]

    records = tf.data.TFRecordDataset(list(shards), num_parallel_reads=5)
    return records.shuffle(10_000).batch(BATCH_SIZE).map(parse, num_parallel_calls=5).prefetch(1)


def fit_rates(shards: Sequence[str], class_count: int, count: int, epochs: int) -> list[float]:
    """Measure the sketches/s of the book's model in the book's `fit`, for each epoch.

    The first epoch includes compilation: Keras compiles with XLA, once for each length of a batch's
    longest drawing.

    Args:
        shards: TFRecord files.
        class_count: number of classes.
        count: number of drawings in the shards.
        epochs: number of epochs.
    """
    import keras  # noqa: PLC0415

    class EpochSeconds(keras.callbacks.Callback):  # type: ignore[misc]
        """Times each epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.monotonic() - self.started)

    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv1D(32, kernel_size=5, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv1D(64, kernel_size=5, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv1D(128, kernel_size=3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.LSTM(128, return_sequences=True),
            layers.LSTM(128),
            layers.Dense(class_count, activation="softmax"),
        ]
    )
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=keras.optimizers.SGD(learning_rate=1e-2, clipnorm=1.0),
        metrics=["accuracy", "sparse_top_k_categorical_accuracy"],
    )
    timer = EpochSeconds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the data set shuffles, not fit: Keras warns of that
        model.fit(pipeline(shards), epochs=epochs, verbose=0, callbacks=[timer])
    return [count / seconds for seconds in timer.seconds]
