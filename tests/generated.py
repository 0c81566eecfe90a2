"""A generation run without Ray: its stages one after the other, and a sampler without a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rnnray.artifacts import Entry, Store
from rnnray.chorale import tokens
from rnnray.chorale.generation import folder, manifest, pipeline, publishing
from rnnray.chorale.generation.pipeline import Compose, Upload, render
from rnnray.chorale.generation.plan import PART_SIZES, Plan
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.tokens import NONE

CHORDS = 16
PART_SIZE = PART_SIZES["cpu"]
COUNT = PART_SIZE + 3
TEMPERATURES = (0.8, 1.5)
BACH = 3


@dataclass
class Sampler:
    """Composes at random, from a request alone; gives every note its index as nats."""

    asked: list[int] = field(default_factory=list)

    def compose(self, requests: Sequence[Request]) -> list[list[Composition]]:
        self.asked.append(len(requests))
        return [[self.one(request) for request in requests]]

    @staticmethod
    def one(request: Request) -> Composition:
        rng = np.random.default_rng([request.index, int(100 * request.temperature)])
        notes = rng.integers(0, 47, request.given.size).astype(np.int8)
        notes = np.where(request.given == NONE, notes, request.given)
        return Composition(tokens.to_chords(notes), np.arange(request.given.size, dtype=np.float32))


class Memory:
    """An object store that keeps what is said of each object."""

    uri = "s3://bucket/prefix/run-1"

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.about: dict[str, tuple[str, dict[str, str]]] = {}

    def put(
        self,
        key: str,
        content: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] = {},
        if_absent: bool = False,
    ) -> None:
        self.contents[key] = content
        self.about[key] = (content_type, dict(metadata))

    def get(self, key: str) -> bytes | None:
        return self.contents.get(key)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for key in sorted(self.contents):
            if key.startswith(prefix):
                yield Entry(key, len(self.contents[key]))

    def delete(self, key: str) -> None:
        self.contents.pop(key, None)

    def tidy(self) -> None:
        pass


def stored(made: Plan, store: Any, part_indices: Sequence[int], *, resumes: bool) -> list[pa.Table]:
    """All stages of some parts, in this process."""
    composer = Compose(made)
    composer.__dict__["_sampler"] = Sampler()
    upload = Upload(store, made, resumes)
    return [
        upload(render(batch, made))
        for part_index in part_indices
        for batch in composer(pa.table({"part": [part_index]}))
    ]


def run(made: Plan, store: Store, *, resumes: bool = False) -> list[pa.Table]:
    """Everything of a run that is not there; its batches."""
    batches = stored(made, store, folder.unfinished(store, made), resumes=resumes)
    collected = manifest.Parts(store, made)
    # As they come from several renderers: in no order.
    for index in np.random.default_rng(len(batches)).permutation(len(batches)):
        collected.add(batches[index]["part"][0].as_py(), pipeline.rows_of(batches[index]))
    publishing.publish(store, made, None, summarise=True)
    return batches
