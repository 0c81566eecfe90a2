"""A task that does not give what it should: one line says which method gave what instead."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import toy_loop
from lazily import keras
from toy import ToyTask, rows

from rnnray.errors import UserError
from rnnray.training.batches import Share, padded_batch
from rnnray.training.faults.divergence import Diverged
from rnnray.training.faults.faulty_task import check_score


class Faulty(ToyTask):
    """The toy, with some results changed."""

    def __init__(self, **changes: Callable[[Any], Any]) -> None:
        super().__init__()
        object.__setattr__(self, "changes", changes)

    def changed(self, name: str, result: Any) -> Any:
        return self.changes.get(name, lambda same: same)(result)

    def build_model(self, *, unroll: bool) -> Any:
        return self.changed("build_model", super().build_model(unroll=unroll))

    def batch(self, table: pa.Table) -> Any:
        return self.changed("batch", super().batch(table))

    def row_losses(self, targets: Any, logits: Any) -> Any:
        return self.changed("row_losses", super().row_losses(targets, logits))

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        return self.changed("row_metrics", super().row_metrics(targets, logits))


def nan(batch: Any) -> Any:
    inputs, targets, weights = batch
    return inputs * np.nan, targets, weights


def two_outputs(model: Any) -> Any:
    return keras.Model(model.input, [model.output, model.output])


def with_idle_weights(model: Any) -> Any:
    inputs = keras.layers.Input((4,))
    idle = keras.layers.Dense(3, name="idle")(inputs)
    return keras.Model(inputs, model(inputs) + keras.ops.stop_gradient(idle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:2], "Faulty.batch gave tuple of 2; expected a tuple of 3: inputs, targets"),
        (list, "gave list; expected a tuple of 3"),
        (lambda b: (b[0][1:], *b[1:]), r"gave inputs float32 \[7, 4\]; expected .* for 8 rows"),
        (lambda b: (b[0], b[1].tolist(), b[2]), "gave targets of type int; expected arrays"),
        (lambda b: (b[0], b[1].astype(object), b[2]), r"gave targets object \[8\]; expected"),
        (lambda b: (*b[:2], b[0]), r"gave weights \[8, 4\]; expected \[8\], a weight for each row"),
        (lambda b: ({"a": b[0], "b": b[0][0]}, *b[1:]), r"gave inputs float32 \[4\]; expected"),
    ],
)
def test_a_batch_of_another_shape_is_named(change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        padded_batch(Faulty(batch=change), Share(rows(8), 8), 8)


def test_several_inputs_are_filled_up_each_and_float64_becomes_float32() -> None:
    def change(batch: Any) -> Any:
        inputs, targets, weights = batch
        return (inputs.astype(np.float64), {"a": targets}), targets, weights.astype(np.float64)

    with pytest.raises(UserError, match="inputs of type dict"):  # one level is enough
        padded_batch(Faulty(batch=change), Share(rows(3), 3), 8)
    task = Faulty(batch=lambda b: ({"x": b[0].astype(np.float64), "y": b[1]}, b[1], b[2]))
    batch = padded_batch(task, Share(rows(3), 2), 8)
    assert isinstance(batch.inputs, dict)
    assert {name: (a.shape, a.dtype.name) for name, a in batch.inputs.items()} == {
        "x": ((8, 4), "float32"),
        "y": ((8,), "int64"),
    }
    assert batch.weights.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"build_model": lambda _: "net"}, "build_model gave str; expected a keras.Model"),
        (
            {"build_model": lambda _: keras.Sequential([keras.layers.Dense(3)])},
            "build_model gave a model that has no weights yet; expected one that begins with",
        ),
        (
            {"build_model": two_outputs},
            "Faulty.build_model gave a model with 2 outputs; expected 1; a task declares several",
        ),
        (
            {"row_losses": lambda losses: losses[:, None]},
            r"Faulty.row_losses gave shape \[16, 1\]; expected shape \[16\]: a number for each row",
        ),
        (
            {"row_losses": lambda losses: losses[0]},
            r"row_losses gave shape \[\]; expected shape \[16\]",
        ),
        ({"row_losses": lambda _: None}, r"row_losses gave NoneType; expected shape \[16\]"),
        (
            {"row_metrics": lambda metrics: metrics[:, 0]},
            r"gave shape \[16\]; expected shape \[16, 1\]: .*, a column for each of right",
        ),
        ({"row_metrics": lambda _: None}, r"row_metrics gave NoneType; expected shape \[16, 1\]"),
        ({"build_model": with_idle_weights}, "does not depend on the weights idle/kernel"),
    ],
)
def test_what_does_not_fit_the_loop_is_named_before_the_first_step(
    changes: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        toy_loop.loop(Faulty(**changes), lambda *_: None).run()


class Several(ToyTask):
    """The toy with two inputs, two declared outputs, and no metric."""

    output_count, metric_names, score = 2, (), ("validation_loss", "min")

    def build_model(self, *, unroll: bool) -> Any:
        inputs = {name: keras.layers.Input((4,), name=name) for name in ("first", "second")}
        total = keras.layers.Dense(3)(inputs["first"] + inputs["second"])
        return keras.Model(inputs, [total, keras.layers.Dense(3)(total)])

    def batch(self, table: pa.Table) -> Any:
        features, classes, weights = super().batch(table)
        return {"first": features, "second": 2 * features}, classes, weights

    def row_losses(self, targets: Any, logits: Any) -> Any:
        return sum(super(Several, self).row_losses(targets, each) for each in logits)


def test_several_inputs_and_declared_outputs_are_trained_without_a_metric_too() -> None:
    first, last = toy_loop.loop(Several(), lambda *_: None).run()
    assert last["validation_loss"] < first["validation_loss"]
    assert "right" not in last


def test_a_loss_that_is_nan_from_the_start_names_what_gave_it() -> None:
    with pytest.raises(
        Diverged, match=r"step 1: not finite .* `row_losses` gave this, perhaps from"
    ):
        toy_loop.loop(Faulty(batch=nan), lambda *_: None).run()


def test_a_selection_metric_that_nobody_gives_is_named() -> None:
    class Misspelt(ToyTask):
        score = ("validation_rihgt", "max")

    message = "score is .*; expected one of validation_loss, validation_right with"
    with pytest.raises(UserError, match=message):
        check_score(Misspelt())
