"""Configurations refuse what cannot work before anything starts; the book's is the book's."""

from typing import Any

import pytest
from lazily import Lazily
from pydantic import ValidationError

from rnnray.sketch.sketch_config import SketchConfig, SketchModelConfig, notebook

sketch_model = Lazily("rnnray.sketch.sketch_model")


def test_the_book_s_training_options() -> None:
    config = notebook()
    assert (config.epochs, config.global_batch_size) == (2, 32)
    assert config.model.max_points == 100
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.momentum) == ("sgd", 1e-2, 0)
    assert (optimizer.clip, optimizer.clip_norm) == ("variable", 1.0)
    assert optimizer.schedule == "constant"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"epochs": 0}, "epochs"),
        ({"global_batch_size": 0}, "global_batch_size"),
        ({"shuffle_rows": -1}, "shuffle_rows"),
        ({"seed": -1}, "seed"),
        ({"data": ""}, "data"),
        ({"epoch": 3}, "epoch"),
        ({"optimizer": {"learning_rate": 0}}, "learning_rate"),
        ({"optimizer": {"clip_norm": 0}}, "clip_norm"),
        ({"optimizer": {"name": "rmsprop"}}, "name"),
        ({"optimizer": {"warmup_share": 0.1}}, "warmup_share needs the cosine schedule"),
        ({"model": {"dropout": 1.0}}, "dropout"),
        ({"model": {"unit": 3}}, "unit"),
        ({"model": {"filters": []}}, "filters"),
        ({"model": {"filters": [8, 8]}}, "same length"),
        ({"model": {"filters": [8, 0, 8]}}, "filters"),
        ({"model": {"strides": [2, 2]}}, "same length"),
        ({"model": {"max_points": 20}}, "leave no step"),
        ({"model": {"pooling": ["mean", "mean"]}}, "pooling names something twice"),
        ({"model": {"features": ["place"]}}, "features"),
        ({"model": {"augmentation": {"drop_strokes": 1}}}, "drop_strokes"),
        ({"label_smoothing": 1}, "label_smoothing"),
        ({"optimizer": {"average_momentum": 1}}, "average_momentum"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        SketchConfig.model_validate(values)


def test_the_fewest_points_that_the_convolutions_can_read_are_accepted() -> None:
    # 21 points -> 9 -> 3 -> 1 step, without padding; 20 points -> 10 -> 5 -> 3 with it.
    model = sketch_model.build(SketchModelConfig(max_points=21, units=2), 5)
    assert model.output.shape == (None, 5)
    assert SketchModelConfig(max_points=20, same_padding=True)
    with pytest.raises(ValidationError, match="leave no step"):
        SketchModelConfig(max_points=20)


def test_a_configuration_cannot_be_changed_behind_the_run_s_back() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        notebook().epochs = 3  # type: ignore[misc]
