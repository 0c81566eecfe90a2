import random

import observed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnray.chorale.chorale_config import ChoraleConfig, notebook
from rnnray.chorale.chorale_tuning import SPACE
from rnnray.errors import UserError
from rnnray.tuning import space
from rnnray.tuning.space import Choice, Range


def parsed(field: str, spec: object) -> Range | Choice:
    return space.parse({field: spec}, notebook(), "x.yaml")[field]


def refused(values: object) -> str:
    message = observed.refused(space.parse, values, notebook(), "x.yaml")
    assert message.startswith("x.yaml: ")
    return message


def test_the_default_space_searches_what_the_readme_says() -> None:
    found = space.parse(SPACE, notebook(), "default")
    assert found["optimizer.learning_rate"] == Range(3e-4, 1e-2, log=True)
    assert found["model.dilated_layers"] == Range(1, 8, whole=True)
    assert found["model.lstm_units"] == Choice((64, 128, 256, 384))


@given(st.floats(1e-6, 1), st.floats(1.001, 1e4), st.booleans(), st.integers())
def test_draws_stay_in_the_range(low: float, factor: float, log: bool, seed: int) -> None:
    drawn = Range(low, low * factor, log).draw(random.Random(seed))
    assert low <= drawn <= low * factor


@given(st.integers(1, 30), st.integers(1, 30), st.booleans(), st.integers())
def test_whole_numbers_stay_whole(low: int, more: int, log: bool, seed: int) -> None:
    drawn = Range(low, low + more, log, whole=True).draw(random.Random(seed))
    assert isinstance(drawn, int)
    assert low <= drawn <= low + more


def test_a_logarithmic_range_draws_as_much_from_each_decade() -> None:
    rng = random.Random(0)
    drawn = [Range(1e-4, 1e-2, log=True).draw(rng) for _ in range(2000)]
    assert 0.45 < sum(number < 1e-3 for number in drawn) / 2000 < 0.55


def test_both_ends_of_a_whole_range_are_drawn() -> None:
    rng = random.Random(0)
    assert {Range(1, 3, whole=True).draw(rng) for _ in range(100)} == {1, 2, 3}


def test_any_field_can_be_searched_lists_and_flags_too() -> None:
    assert parsed("model.filters", [[8, 16], [32]]) == Choice(((8, 16), (32,)))
    assert parsed("model.batch_normalization", [True, False]) == Choice((True, False))
    assert parsed("global_batch_size", {"low": 8, "high": 64}) == Range(8, 64, whole=True)
    assert parsed("model.dropout", {"low": 0, "high": 0.5}) == Range(0, 0.5)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("learning_rate", "optimizer.learning_rate"),
        ("model.dilated_layer", "model.dilated_layers"),
        ("optimiser.learning_rate", "optimizer.learning_rate"),
    ],
)
def test_an_unknown_field_is_named_with_similar_ones(name: str, near: str) -> None:
    message = refused({name: [1]})
    assert repr(name) in message
    assert f"did you mean {near}" in message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"low": 8, "high": 1}, "8 to 1 is not a range"),
        ({"low": 1, "high": 1}, "1 to 1 is not a range"),
        ({"low": 1.5, "high": 3}, "is not a range"),
        ({"low": 0, "high": 8, "log": True}, "on a logarithmic scale"),
        ({"low": 1, "high": 99}, "model.dilated_layers"),
        ({"low": "1e-4", "high": 8}, "numbers such as 1.0e-4"),
        ({"low": 1, "high": float("nan")}, "numbers such as 1.0e-4"),
        ({"low": 1}, "write a list of choices"),
        ({"low": 1, "high": 8, "step": 2}, "write a list of choices"),
        (4, "write a list of choices"),
        ([], "no choices"),
        (["many"], "model.dilated_layers"),
    ],
)
def test_an_impossible_range_is_one_clear_line(spec: object, words: str) -> None:
    message = refused({"model.dilated_layers": spec})
    assert "model.dilated_layers" in message
    assert words in message


@pytest.mark.parametrize("values", [[], {}, None, "hello", [1, 2]])
def test_a_file_that_is_no_space_is_refused(values: object) -> None:
    assert "maps fields to ranges or choices" in refused(values)


def test_a_space_of_the_classifier_is_refused_for_the_composer() -> None:
    assert "'model.units' is not a field" in refused({"model.units": [64, 128]})


def test_values_replace_nested_fields_and_are_checked() -> None:
    config = space.with_values(
        notebook(), {"optimizer.learning_rate": 0.5, "model.filters": (8,), "epochs": 3}
    )
    assert isinstance(config, ChoraleConfig)
    assert config.optimizer.learning_rate == 0.5
    assert config.model.filters == (8,)
    assert config.epochs == 3
    assert config.model.lstm_units == notebook().model.lstm_units
    with pytest.raises(UserError, match=r"model\.dropout"):
        space.with_values(notebook(), {"model.dropout": 1.5})
