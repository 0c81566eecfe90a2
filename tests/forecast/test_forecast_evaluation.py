"""Errors of forecasts beside those of the naive forecast, counted by hand."""

import numpy as np
import pyarrow as pa

from rnnray.forecast.data import series_table, windows
from rnnray.forecast.forecast_config import ForecastModelConfig
from rnnray.forecast.forecast_evaluation import Evaluation, errors_of

MODEL = ForecastModelConfig(window_days=14, horizon_days=2)


def test_the_errors_are_those_of_every_known_day() -> None:
    values = np.random.default_rng(0).normal(50, 10, 40)
    values[20], values[25] = 0, np.nan
    series = series_table.from_series([("a", 0, values)])
    rows = pa.concat_tables(windows.tables(series, MODEL, range(16, 40)))
    starts = rows["day"].to_numpy()
    forecasts = np.full((len(rows), 2), 50.0)
    found = Evaluation(errors_of(rows, forecasts, 14), len(rows))
    actual = np.stack([values[starts], values[starts + 1]], axis=1)
    errors = np.abs(actual - 50)
    filled = windows.filled(values)
    naive = np.abs(actual - np.stack([filled[starts - 7], filled[starts - 6]], axis=1))
    shares = errors / np.where(actual == 0, np.nan, actual)
    result = found.as_dict()
    for when, chosen in (("day_ahead", slice(1)), ("all_days", slice(2))):
        for name, expected in (("mae", errors), ("naive_mae", naive), ("mape", shares)):
            np.testing.assert_allclose(
                result[f"{name}_{when}"], np.nanmean(expected[:, chosen]), rtol=1e-5
            )
    assert result["count"] == np.isfinite(actual).sum()
    np.testing.assert_allclose(found.mae(), np.nanmean(errors, axis=0), rtol=1e-5)
    assert found.lines()[0].startswith("a day ahead: MAE ")


def test_days_that_are_all_zero_have_no_relative_error() -> None:
    series = series_table.from_series([("a", 0, np.zeros(30))])
    rows = pa.concat_tables(windows.tables(series, MODEL, range(30)))
    result = Evaluation(errors_of(rows, np.ones((len(rows), 2)), 14), len(rows)).as_dict()
    assert (result["mae_day_ahead"], result["naive_mae_day_ahead"]) == (1, 0)
    assert np.isnan(result["mape_day_ahead"])
