"""What is said of drawings that are longer than the classifier reads."""

from typing import Any

import pytest

from rnnray.sketch.sketch_config import SketchModelConfig
from rnnray.sketch.sketch_evaluation import say_cropped


@pytest.mark.parametrize(
    ("long_drawings", "what"),
    [("crop", "the rest of each is cropped"), ("simplify", "each is simplified to as many")],
)
def test_drawings_that_are_longer_than_the_classifier_reads_are_counted_in_percent(
    long_drawings: Any, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = SketchModelConfig(max_points=100, long_drawings=long_drawings)
    say_cropped(0, 1500, model)
    assert not capsys.readouterr().out
    say_cropped(105, 1500, model)
    assert capsys.readouterr().out.partition("] ")[2] == (
        f"7 % of the drawings are longer than 100 points (105 of 1,500); {what} "
        "(--model.max-points)\n"
    )
