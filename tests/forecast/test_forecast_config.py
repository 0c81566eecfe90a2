"""Configurations survive being saved, and refuse what cannot work before anything starts."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from rnnray.forecast.forecast_config import PRESETS, ForecastConfig, notebook, strong


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_saved_as_yaml_comes_back_as_itself(name: str) -> None:
    config = PRESETS[name]()
    text = yaml.safe_dump(config.model_dump(mode="json"))
    assert ForecastConfig.model_validate(yaml.safe_load(text)) == config


def test_the_presets_are_the_book_s_two_answers() -> None:
    assert (notebook().model.output, strong().model.output) == ("vector", "sequence")
    assert notebook().model.window_days == 30
    assert {notebook().model.horizon_days, strong().model.horizon_days} == {7}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"model": {"window_days": 6}}, "window_days"),
        ({"model": {"horizon_days": 0}}, "horizon_days"),
        ({"model": {"output": "both"}}, "output"),
        ({"missing": "drop"}, "missing"),
        ({"date_column": ""}, "date_column"),
        ({"split": "80:20"}, "TRAIN:VALIDATION:TEST"),
        ({"windows_per_series": -1}, "windows_per_series"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        ForecastConfig.model_validate(values)
