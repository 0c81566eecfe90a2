"""The stages of a generation run: their batches, and the number of their processes."""

import time
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import ray
from generated import BACH, PART_SIZE, Sampler

from rnnray import cluster
from rnnray.chorale.generation import pipeline
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.pipeline import Compose, batch_size, sampler_pool, upload_pool
from rnnray.chorale.generation.plan import PART_SIZES, Plan
from rnnray.errors import UserError


def test_a_part_is_always_composed_as_the_same_batch(made: Plan) -> None:
    # The sampler's arithmetic may depend on a chorale's index in its batch.
    composer = Compose(made)
    sampler = Sampler()
    composer.__dict__["_sampler"] = sampler
    for _ in composer(pa.table({"part": [2, 0, 4, 1]})):
        pass
    assert sampler.asked == [3, PART_SIZE, BACH, PART_SIZE]


class Composer:
    """A fake of the composer of any checkpoint."""

    def __init__(self, checkpoint: str, *, threads: int, needs_gpu: bool) -> None:
        self.checkpoint = checkpoint

    def sampler(self, *, batch_size: int, **_: object) -> int:
        return batch_size


def test_a_gpu_composes_many_at_once(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "TrainedComposer", Composer)
    assert Compose(replace(made, device="gpu"))._sampler == PART_SIZES["gpu"] == 512


def test_another_checkpoint_of_that_name_on_a_node_composes_nothing(
    made: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "TrainedComposer", Composer)
    composer = Compose(replace(made, device="gpu", model="of the driver's file"))
    with pytest.raises(UserError, match=r"on .* is not the model that the run began with"):
        next(composer(pa.table({"part": [0]})))


@pytest.mark.parametrize(
    ("chords", "tempo", "expected"),
    [(64, 80, 8), (1, 80, 8), (64, 1000, 8), (256, 80, 2), (512, 80, 1), (19_200, 80, 1)],
)
def test_batches_of_long_pieces_fit_in_memory(
    config: GenerationConfig, chords: int, tempo: float, expected: int
) -> None:
    long = config.model_copy(update={"chords": chords, "tempo": tempo})
    assert batch_size(long) == expected


def test_no_batch_loses_a_chorale(made: Plan) -> None:
    composer = Compose(replace(made, config=made.config.model_copy(update={"tempo": 5.0})))
    composer.__dict__["_sampler"] = Sampler()
    batches = [batch["rows"][0].as_py() for batch in composer(pa.table({"part": [2, 4]}))]
    indices = [[row["index"] for row in rows] for rows in batches]
    assert indices == [[PART_SIZE, PART_SIZE + 1], [PART_SIZE + 2], [0, 1], [2]]


def test_rendering_is_counted_in_seconds_of_a_cpu(
    made: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds of waiting do not count, since a waiting task keeps no CPU busy."""
    composer = Compose(made)
    composer.__dict__["_sampler"] = Sampler()
    batch = next(composer(pa.table({"part": [4]})))

    def wait(*_: object) -> dict[str, bytes]:
        time.sleep(0.2)
        return {}

    monkeypatch.setattr(pipeline, "file_contents", wait)
    (seconds,) = pipeline.render(batch, made)["render_seconds"].to_pylist()
    assert 0 < seconds < BACH * 0.2


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Setter of the resources that a cluster has now, and at most."""

    def have(now: dict[str, float], most: dict[str, float]) -> None:
        monkeypatch.setattr(ray, "cluster_resources", lambda: now)
        monkeypatch.setattr(cluster, "most", lambda name: most.get(name, 0))

    return have


def test_a_cluster_that_is_as_large_as_it_gets_is_used_from_the_start(
    made: Plan, nodes: Any
) -> None:
    nodes({"CPU": 16.0}, {"CPU": 16.0})
    uploads = upload_pool(100)
    assert (uploads.min_size, uploads.max_size) == (8, 8)
    samplers = sampler_pool(made, 100, None)
    assert (samplers.min_size, samplers.max_size) == (1, 2)
    assert sampler_pool(made, 100, 5).max_size == 5
    assert upload_pool(3).max_size == sampler_pool(made, 3, 5).max_size == 3


def test_a_cluster_that_scales_from_zero_is_used_when_it_has_grown(made: Plan, nodes: Any) -> None:
    nodes({}, {"CPU": 64.0, "GPU": 4.0})
    uploads = upload_pool(100)
    assert (uploads.min_size, uploads.max_size) == (1, 32)
    for device, most in (("cpu", 8), ("gpu", 4)):
        samplers = sampler_pool(replace(made, device=device), 100, None)
        assert (samplers.min_size, samplers.max_size) == (1, most)
    nodes({}, {"CPU": 1.0})
    assert sampler_pool(made, 100, None).max_size == upload_pool(100).max_size == 1
