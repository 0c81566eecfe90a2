"""How many processes a batch job has, and what a failed one leaves; tests/cluster has results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from rnnray import cluster
from rnnray.batch_jobs import mapped, write_parquet
from rnnray.errors import UserError


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


class Computed:
    """A data set that has some tables and then fails, if it is to."""

    def __init__(self, *tables: pa.Table, fails: bool = False) -> None:
        self.tables, self.fails = tables, fails

    def iter_batches(self, **_: Any) -> Iterator[pa.Table]:
        yield from self.tables
        if self.fails:
            raise UserError("broken")


def test_results_are_a_file_only_when_they_are_whole_and_at_least_one(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("name", pa.string())])
    tables = [pa.table({"name": [name], "points": [3]}) for name in "ab"]

    def write(*tables: pa.Table, fails: bool = False) -> tuple[int, pa.Table]:
        data: Any = Computed(*tables, fails=fails)
        output = str(tmp_path / "out.parquet")
        return write_parquet(data, schema, output, progress="{:,}", nothing="no drawing")

    for given, fails, words in ((tables, True, "broken"), ([], False, "no drawing")):
        with pytest.raises(UserError, match=words):
            write(*given, fails=fails)
        assert list(tmp_path.iterdir()) == []
    count, others = write(*tables)
    assert (count, others.to_pydict()) == (2, {"points": [3, 3]})
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"name": ["a", "b"]}
