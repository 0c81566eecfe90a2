"""The end of a run: the page to listen to, and the summary, from the manifest alone."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnnray.artifacts import Store
from rnnray.chorale.composing_options import rule_nats, temperature_text
from rnnray.chorale.critique import critique
from rnnray.chorale.generation import manifest
from rnnray.chorale.generation.in_order import in_order
from rnnray.chorale.generation.plan import CONTENT_TYPES, PAGE, SUMMARY, Part, Plan
from rnnray.chorale.render import page
from rnnray.progress import Every, say

_SHOWN = (
    "nats_per_note",
    "chords_on_beats",
    "clashes",
    "parallel_fifths",
    "parallel_octaves",
    "crossing",
    "spacing",
    "out_of_range",
    "changes",
    "longest_frozen",
)
"""Statistics on the page, which has no room for all."""


def publish(store: Store, plan: Plan, presign_hours: float | None, summarise: bool) -> None:
    """Write the page, and then the summary, which completes the run.

    Args:
        store: store of the run, with all parts in it.
        plan: plan of the run.
        presign_hours: lifetime of the page's presigned links; None for plain links.
        summarise: whether to write the summary; false to renew only the page's links.

    Raises:
        UserError: the storage refuses it, or a part of the manifest is missing.
    """

    def link(key: str) -> str:
        return key if presign_hours is None else store.presign(key, presign_hours)

    def put(file: page.PageFile) -> page.PageFile:
        store.put(file.key, file.content, content_type=file.content_type, metadata=plan.metadata())
        return file

    index: list[page.PageFile] = []

    def others() -> Iterator[page.PageFile]:
        pieces = _pieces(store, plan)
        bach = _of_the_corpus(plan)
        about = ", ".join(plan.config.rules)
        files = page.build(plan.name, plan.config.tempo, pieces, rules=about, bach=bach, link=link)
        for file in files:
            if file.key == PAGE:
                index.append(file)
            else:
                yield file

    every = Every()
    for number, file in enumerate(in_order(put, others()), 1):
        if every():
            say(f"{store.uri}: {number:,} files of the page are written, up to {file.key}")
    put(*index)  # last, once all files that it names exist
    if not summarise:
        return
    temperatures = {
        temperature_text(temperature): _statistics(store, _parts(plan, temperature))
        for temperature in plan.config.temperatures
    }
    bach = _statistics(store, _parts(plan, None))
    everything = [*temperatures.values(), bach]
    summary = {
        "run": plan.name,
        "model": plan.model,
        "chords": plan.config.chords,
        "count": plan.config.count,
        "temperature_on": plan.config.temperature_on,
        "rules": rule_nats(plan.config.rules),
        "ending": plan.config.ending,
        "files": sum(one["files"] for one in everything),
        "bytes": sum(one["bytes"] for one in everything),
        "temperatures": {name: one["statistics"] for name, one in temperatures.items()},
        "bach": bach["statistics"] | plan.corpus_critique,
    }
    store.tidy()
    content = json.dumps(summary, indent=1, allow_nan=False).encode()
    store.put(SUMMARY, content, content_type=CONTENT_TYPES["json"], metadata=plan.metadata())


def _of_the_corpus(plan: Plan) -> dict[str, float]:
    """Return Bach's means for the page, of the whole corpus: those of a few excerpts vary."""
    critique = plan.corpus_critique
    means = {name: critique[name] for name in (*_SHOWN, "chorales") if name in critique}
    # The mean over all pieces, not the longest passage of any.
    return means | ({"longest_frozen": critique["frozen"]} if critique else {})


def _parts(plan: Plan, temperature: float | None) -> list[Part]:
    return [part for part in plan.parts() if part.temperature == temperature]


def _statistics(store: Store, parts: list[Part]) -> dict[str, Any]:
    """Return the critique of all chorales of some parts, mean nats a note, and file counts."""
    chorales, nats, files, size = [], [], 0, 0
    for row in manifest.read(store, parts):
        chorales.append(row["chords"])
        nats.append(row["nats_per_note"])
        files += len(row["files"])
        size += sum(file["size"] for file in row["files"])
    statistics = critique(chorales).as_dict() | {"nats_per_note": float(np.mean(nats))}
    return {"statistics": statistics, "files": files, "bytes": size}


def _pieces(store: Store, plan: Plan) -> Iterator[page.Piece]:
    # The quiz needs real pieces, the page shows them last.
    for temperature in (*plan.config.temperatures, None):
        for row in manifest.read(store, _parts(plan, temperature)):
            index = row["index"]
            yield page.Piece(
                name=f"{index:06d}" if temperature is not None else plan.bach[index][0],
                temperature=temperature,
                chords=row["chords"],
                statistics={name: row[name] for name in _SHOWN},
                files={file["key"].rpartition(".")[2]: file["key"] for file in row["files"]},
            )
