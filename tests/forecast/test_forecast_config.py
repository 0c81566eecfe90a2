"""Configurations refuse what cannot work before anything starts."""

from typing import Any

import pytest
from pydantic import ValidationError

from rnnray.forecast.forecast_config import ForecastConfig


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
