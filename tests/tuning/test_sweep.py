"""The selection metric of a sweep: which end of it is better."""

from typing import ClassVar, Literal

import pytest
from toy import ToyTask

from rnnray.errors import UserError
from rnnray.forecast.forecast_config import ForecastConfig
from rnnray.forecast.forecast_task import ForecastTask
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_task import SketchTask
from rnnray.tuning.sweep import score_of


class Counting(ToyTask):
    metric_names: ClassVar[tuple[str, ...]] = ("hits", "strokes", "share")
    shares: ClassVar[tuple[str, ...]] = ("share",)
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_hits", "max")


def test_the_best_trial_has_the_least_error_and_the_most_right() -> None:
    forecasts = ForecastTask(ForecastConfig())
    drawings = SketchTask(SketchConfig(), ("cat", "dog"))
    assert score_of(forecasts, None) == ("validation_error", "min")
    assert score_of(forecasts, "validation_error") == ("validation_error", "min")
    assert score_of(forecasts, "validation_loss") == ("validation_loss", "min")
    assert score_of(drawings, "validation_top5") == ("validation_top5", "max")
    assert score_of(Counting(), "validation_hits") == ("validation_hits", "max")
    assert score_of(Counting(), "validation_share") == ("validation_share", "max")


def test_a_metric_that_may_be_better_either_way_is_not_guessed_at() -> None:
    with pytest.raises(UserError, match="nothing says whether more of it is better"):
        score_of(Counting(), "validation_strokes")
    with pytest.raises(UserError, match="did you mean validation_hits"):
        score_of(Counting(), "validation_hit")
