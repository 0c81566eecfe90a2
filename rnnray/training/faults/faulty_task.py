"""Tasks that do not give what `Task` promises: one line says which method gave what instead."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.errors import UserError
from rnnray.training.task import Arrays, Task


def _fault(task: Task, method: str, gave: str, expected: str) -> UserError:
    return UserError(f"{type(task).__name__}.{method} gave {gave}; expected {expected}")


def check_score(task: Task) -> None:
    """Raise `UserError` unless the selection metric is one that the validation gives."""
    known = [f"validation_{name}" for name in ("loss", *task.metric_names)]
    name, direction = task.score
    if name not in known or direction not in ("max", "min"):
        raise UserError(
            f"{type(task).__name__}.score is {task.score}; expected one of {', '.join(known)} "
            'with "max" or "min"'
        )


def checked_batch(task: Task, table: pa.Table) -> tuple[Arrays, Arrays, npt.NDArray[np.float32]]:
    """Return `task.batch` of rows, as float32 where it is float64.

    Raises:
        UserError: these are not inputs, targets and weights of that many rows.
    """
    given: Any = task.batch(table)
    if not isinstance(given, tuple) or len(given) != 3:
        many = f" of {len(given)}" if isinstance(given, tuple) else ""
        gave = f"{type(given).__name__}{many}"
        raise _fault(task, "batch", gave, "a tuple of 3: inputs, targets, weights")
    rows = len(table)
    for name, arrays in zip(("inputs", "targets", "weights"), given, strict=True):
        for array in leaves(arrays):
            what = f"{name} of type {type(array).__name__}"
            if isinstance(array, np.ndarray):
                what = f"{name} {array.dtype} {list(array.shape)}"
                if array.dtype.kind in "fiub" and array.shape[:1] == (rows,):
                    continue
            raise _fault(task, "batch", what, f"arrays of numbers [{rows}, ...] for {rows} rows")
    inputs, targets, weights = given
    if not isinstance(weights, np.ndarray) or weights.ndim != 1:
        shapes = " and ".join(str(list(each.shape)) for each in leaves(weights))
        raise _fault(task, "batch", f"weights {shapes}", f"[{rows}], a weight for each row")
    return mapped(inputs, _single), mapped(targets, _single), np.asarray(weights, np.float32)


def leaves(arrays: Any) -> list[Any]:
    """Return the arrays of `Arrays` as a list."""
    if isinstance(arrays, dict):
        return list(arrays.values())
    return list(arrays) if isinstance(arrays, tuple | list) else [arrays]


def mapped(arrays: Any, change: Any) -> Any:
    """Return the results of a function for each array, in the same structure."""
    if isinstance(arrays, dict):
        return {name: change(array) for name, array in arrays.items()}
    return tuple(map(change, arrays)) if isinstance(arrays, tuple | list) else change(arrays)


def _single(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def checked_model(task: Task, model: Any) -> Any:
    """Return a model.

    Raises:
        UserError: it is no Keras model, or has no weights yet.
    """
    import keras  # noqa: PLC0415  (seconds)

    if not isinstance(model, keras.Model):
        raise _fault(task, "build_model", type(model).__name__, "a keras.Model")
    if not model.built:
        gave = "a model that has no weights yet"
        raise _fault(task, "build_model", gave, "one that begins with keras.Input")
    return model


def checked_outputs(task: Task, outputs: Any) -> Any:
    """Return the outputs of a model: one tensor, or the structure of several.

    Raises:
        UserError: their number is not the declared one.
    """
    given = leaves(outputs)
    if len(given) != task.output_count:
        expected = f"{task.output_count}; a task declares several by `output_count`"
        raise _fault(task, "build_model", f"a model with {len(given)} outputs", expected)
    return outputs if task.output_count > 1 else given[0]


def checked_rows(
    task: Task, method: str, given: Any, rows: int, names: Sequence[str] | None = None
) -> Any:
    """Return a tensor with a number for each row, or for each row and name.

    Args:
        task: the problem.
        method: method of the task that gave the tensor.
        given: the tensor.
        rows: number of rows.
        names: names of the columns; None for a tensor without columns.

    Raises:
        UserError: the tensor has another shape.
    """
    shape = [rows] if names is None else [rows, len(names)]
    if not _has_shape(given, shape):
        gave = f"shape {list(given.shape)}" if hasattr(given, "shape") else type(given).__name__
        columns = "" if names is None else f", a column for each of {', '.join(names)}"
        raise _fault(task, method, gave, f"shape {shape}: a number for each row{columns}")
    return given


def _has_shape(given: Any, shape: Sequence[int]) -> bool:
    """Return whether a tensor may have a shape; TensorFlow does not know all sizes in advance."""
    sizes = getattr(given, "shape", None)
    if sizes is None:
        return False
    if getattr(sizes, "rank", 0) is None:
        return True
    return len(sizes) == len(shape) and all(
        size in (None, expected) for size, expected in zip(sizes, shape, strict=True)
    )


def checked_gradients(task: Task, gradients: Sequence[Any], variables: Sequence[Any]) -> Any:
    """Return gradients.

    Args:
        task: the problem.
        gradients: a gradient for each variable, or None.
        variables: all that is trained.

    Raises:
        UserError: the loss does not depend on a variable, which is named.
    """
    for gradient, variable in zip(gradients, variables, strict=True):
        if gradient is None:
            gave = f"a loss that does not depend on the weights {variable.path}"
            raise _fault(task, "row_losses", gave, "one that depends on all that is trained")
    return gradients


@contextmanager
def out_of_graph() -> Iterator[None]:
    """Raise a `UserError` as it was: TensorFlow puts the graph's code in front of its message."""
    try:
        yield
    except UserError as error:
        first: BaseException = error
        while isinstance(first.__context__, UserError):
            first = first.__context__
        raise UserError(*first.args) from error
