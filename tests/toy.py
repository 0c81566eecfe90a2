"""The smallest problem that the loop can train: points in four dimensions, three classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.training.task import Task


def rows(count: int, *, seed: int = 0) -> pa.Table:
    """Rows with an `id`, four features and a class that the features decide."""
    features = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    columns = {f"x{i}": features[:, i] for i in range(4)}
    return pa.table(
        {"id": np.arange(count), **columns, "y": features[:, :3].argmax(1).astype(np.int64)}
    )


@dataclass(frozen=True)
class ToyTask(Task):
    normalized: bool = False
    dropout: float = 0.0

    row_unit: ClassVar[str] = "points"
    unit: ClassVar[str] = "points"
    metric_names: ClassVar[tuple[str, ...]] = ("right",)
    shares: ClassVar[tuple[str, ...]] = metric_names
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_right", "max")
    evaluation_rows: ClassVar[int] = 256
    unrolls: ClassVar[bool] = False

    def build_model(self, *, unroll: bool) -> Any:
        import keras  # noqa: PLC0415

        del unroll
        inputs = x = keras.layers.Input((4,))
        x = keras.layers.Dense(8, activation="relu")(x)
        if self.normalized:
            x = keras.layers.BatchNormalization()(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout)(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    def batch(
        self, table: pa.Table
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32]]:
        features = np.stack([table[f"x{i}"].to_numpy() for i in range(4)], axis=1)
        return features, table["y"].to_numpy(), np.ones(len(features), np.float32)

    def row_losses(self, targets: Any, logits: Any) -> Any:
        import keras  # noqa: PLC0415

        return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        from keras import ops  # noqa: PLC0415

        right = ops.equal(ops.argmax(logits, axis=1), ops.cast(targets, "int32"))
        return ops.cast(right, "float32")[:, None]

    def checkpoint_files(self) -> Mapping[str, str]:
        return {"toy.txt": "a toy\n"}
