"""Configurations refuse what cannot work before anything starts; the book's is the book's."""

from typing import Any

import pytest
from lazily import Lazily, keras
from pydantic import ValidationError

from rnnray.chorale.chorale_config import ChoraleConfig, notebook

optimizers = Lazily("rnnray.training.step")


def test_notebook_trains_as_the_book_does() -> None:
    config = notebook()
    assert (config.epochs, config.global_batch_size) == (20, 32)
    assert (config.window_chords, config.window_shift) == (33, 16)
    assert config.drop_remainder
    assert not config.count_first_note
    assert config.transpose == 0
    assert not config.scale_learning_rate
    assert config.precision == "float32"
    optimizer = optimizers.build_optimizer(config, 100)
    assert type(optimizer) is keras.optimizers.Nadam
    options, book = optimizer.get_config(), keras.optimizers.Nadam(learning_rate=1e-3).get_config()
    assert float(options.pop("learning_rate")) == pytest.approx(book.pop("learning_rate"))
    assert options | {"name": "nadam"} == book | {"name": "nadam"}
    assert config.optimizer.clip == "none"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": ""}, "data"),
        ({"epochs": 0}, "epochs"),
        ({"window_chords": 1}, "window_chords"),
        ({"window_shift": 0}, "window_shift"),
        ({"window_shift": 24}, "multiple of 16"),
        ({"window_chords": 33, "window_shift": 48}, "chords would be left out"),
        ({"transpose": 13}, "transpose"),
        ({"model": {"architecture": "gru"}}, "architecture"),
        ({"model": {"dropout": 1.0}}, "dropout"),
        ({"model": {"filters": []}}, "filters"),
        ({"model": {"filters": [32, 0]}}, "filters"),
        ({"model": {"kernel_size": 1}}, "kernel_size"),
        ({"model": {"dilated_layers": -1}}, "dilated_layers"),
        ({"model": {"stride": 5}}, "stride"),
        ({"model": {"lstm_layers": 0}}, "lstm_layers"),
        ({"model": {"reach": 15}}, "reach"),
        ({"model": {"units": 3}}, "units"),
    ],
)
def test_what_cannot_work_is_refused_by_its_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ChoraleConfig.model_validate(values)
