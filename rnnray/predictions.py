"""Predictions of a trained network: its outputs for any number of rows, and the likeliest classes.

A network computes batches of one size, filled up if needed: one shape is compiled once, and no
result depends on the other rows.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float32]


class ClassProbability(NamedTuple):
    """Name of a class, and the probability from 0 to 1 that a drawing or a video shows it."""

    name: str
    probability: float


def outputs_of(
    network: Callable[..., Any],
    batches: Iterable[Sequence[npt.NDArray[Any]]],
    rows: int,
    width: int,
) -> Floats:
    """Return a network's outputs for the rows of some batches: float32 [n, width].

    Args:
        network: TensorFlow function from inputs [rows, ...] to outputs [rows, width].
        batches: inputs of at most `rows` rows each.
        rows: number of rows that the network takes at once.
        width: number of outputs of a row.
    """
    parts = [np.zeros((0, width), np.float32)]
    for inputs in batches:
        whole = [np.resize(each, (rows, *each.shape[1:])) for each in inputs]
        parts.append(network(*whole).numpy()[: len(inputs[0])].astype(np.float32))
    return np.concatenate(parts)


def log_probabilities(logits: Floats) -> Floats:
    """Return the natural logarithms of the probabilities: float32 [rows, classes]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logarithms: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithms


def top_classes(logarithms: Floats, top: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the classes of each row, the most probable first.

    Args:
        logarithms: logarithms of the probabilities, float32 [rows, classes].
        top: number of classes.

    Returns:
        int64 [rows, top] class indices and float32 [rows, top] probabilities; fewer columns if
        there are fewer classes.
    """
    order = np.argsort(-logarithms, axis=1, kind="stable")[:, :top]
    return order, np.exp(np.take_along_axis(logarithms, order, axis=1))


def named(logarithms: Floats, class_names: Sequence[str], top: int) -> list[ClassProbability]:
    """Return the most probable classes of one row by name; see `top_classes`.

    Args:
        logarithms: logarithms of the probabilities, float32 [1, classes].
        class_names: names of the classes.
        top: number of classes.
    """
    order, probabilities = top_classes(logarithms, top)
    return [
        ClassProbability(class_names[index], float(probability))
        for index, probability in zip(order[0], probabilities[0], strict=True)
    ]


COLUMNS = (
    pa.field("classes", pa.list_(pa.string())),  # the most probable first
    pa.field("probabilities", pa.list_(pa.float32())),
)


def columns(logarithms: Floats, class_names: Sequence[str], top: int) -> dict[str, pa.Array]:
    """Return the most probable classes of each row as `COLUMNS`; see `named`."""
    order, probabilities = top_classes(logarithms, top)
    names = np.array(class_names, dtype=object)[order]
    lists = names.tolist(), probabilities.tolist()
    return {
        field.name: pa.array(column, field.type)
        for field, column in zip(COLUMNS, lists, strict=True)
    }
