"""How many processes a batch job has, and what a failed one leaves; tests/cluster has results."""

from typing import Any

import pytest
import ray

from rnnray import cluster
from rnnray.batch_jobs import mapped


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
    options = mapped(data, object, lambda _, rows: rows, "s3://bucket/checkpoint")
    pool = options["compute"]
    assert (pool.min_size, pool.max_size) == (1, workers)
    assert bool(options["num_gpus"]) is ("GPU" in most)
