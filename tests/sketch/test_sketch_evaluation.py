"""How many processes a batch job over drawings has; its results are tested in tests/cluster."""

from typing import Any

import numpy as np
import pytest
import ray

from rnnray import cluster
from rnnray.sketch.sketch_evaluation import Evaluation, judge_with


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
