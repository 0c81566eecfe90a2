"""How many processes a batch job over drawings has; its results are tested in tests/cluster."""

from typing import Any

import pytest
import ray

from rnnray import cluster
from rnnray.sketch.evaluation import judge_with


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
