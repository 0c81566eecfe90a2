"""How many processes a batch job over drawings has; its results are tested in tests/cluster."""

from typing import Any

import numpy as np
import pytest
import ray

from rnnray import cluster
from rnnray.sketch.sketch_config import SketchModelConfig
from rnnray.sketch.sketch_evaluation import Evaluation, judge_with, say_cropped


class Data:
    """A data set that keeps how it is mapped."""

    def map_batches(self, actor: type, **options: Any) -> dict[str, Any]:
        return options


@pytest.mark.parametrize(
    ("most", "workers"),
    [({"CPU": 6.0}, 5), ({"CPU": 64.0}, 8), ({"CPU": 8.0, "GPU": 4.0}, 4), ({"CPU": 1.0}, 1)],
)
def test_nodes_that_may_still_start_are_counted(
    monkeypatch: pytest.MonkeyPatch, most: dict[str, float], workers: int
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(cluster, "most", lambda name: most.get(name, 0.0))
    data: Any = Data()
    options = judge_with(data, object, "s3://bucket/checkpoint", None)
    pool = options["compute"]
    assert (pool.min_size, pool.max_size) == (1, workers)
    assert bool(options["num_gpus"]) is ("GPU" in most)


def test_each_class_has_metrics_of_its_own_and_the_class_it_is_taken_for() -> None:
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    sums = np.array([[2.0, 3, 4], [1, 2, 2], [0, 0, 0]])
    cat, dog, star = Evaluation(0.5, 5 / 6, 1.0, 6, confusion, sums, 0).of_classes(
        ("cat", "dog", "star")
    )
    assert cat == {
        **{"class": "cat", "count": 4, "loss": 0.5, "top1": 0.75, "top5": 1.0},
        **{"precision": 1.0, "taken_for": "dog"},
    }
    assert dog["precision"] == 2 / 3
    assert (star["count"], star["top1"], star["precision"], star["taken_for"]) == (0, *[None] * 3)


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
