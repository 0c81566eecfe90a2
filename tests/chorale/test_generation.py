"""A generation run without Ray: what it plans, composes, renders, stores and publishes."""

import hashlib
import json
import shutil
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from composers import save_checkpoint, save_corpus

from rnnray.artifacts import Store, open_store
from rnnray.artifacts.local import LocalStore
from rnnray.chorale import tokens
from rnnray.chorale.critique import critique
from rnnray.chorale.generation import dry_run, folder, manifest, pipeline, plan, publishing
from rnnray.chorale.generation.options import FORMATS, GenerationConfig, GenerationOptions
from rnnray.chorale.generation.pipeline import Compose, Upload, render
from rnnray.chorale.generation.plan import PART_SIZE, Part, Plan, make_plan
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.tokens import NONE
from rnnray.errors import UserError

CHORDS = 16
COUNT = PART_SIZE + 3
TEMPERATURES = (0.8, 1.5)
BACH = 3


@dataclass
class Sampler:
    """Composes at random, from a request alone; gives every note its index as nats."""

    asked: list[int] = field(default_factory=list)

    def compose(self, requests: Sequence[Request]) -> list[list[Composition]]:
        self.asked.append(len(requests))
        return [[self._one(request) for request in requests]]

    def _one(self, request: Request) -> Composition:
        rng = np.random.default_rng([request.index, int(100 * request.temperature)])
        notes = rng.integers(0, 47, request.given.size).astype(np.int8)
        notes = np.where(request.given == NONE, notes, request.given)
        return Composition(tokens.to_chords(notes), np.arange(request.given.size, dtype=np.float32))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GenerationConfig:
    place = tmp_path_factory.mktemp("generation")
    return GenerationConfig(
        checkpoint=save_checkpoint(place / "checkpoint", "strong"),
        temperatures=TEMPERATURES,
        count=COUNT,
        chords=CHORDS,
        data=save_corpus(place / "corpus.parquet", (20, 33, 9, CHORDS, 40)),
        seed_from="test:0:2",
        formats=("wav", "mid"),
        tempo=200,
        instrument="sine",
    )


@pytest.fixture(scope="module")
def made(config: GenerationConfig) -> Plan:
    return make_plan("run-1", config)


def stored(made: Plan, store: Store, places: Sequence[int], *, resumes: bool) -> list[pa.Table]:
    """All stages of some parts, in this process."""
    composer = Compose(made, gpu=False)
    composer.__dict__["_sampler"] = Sampler()
    upload = Upload(store, made, resumes)
    return [
        upload(render(sheaf, made))
        for place in places
        for sheaf in composer(pa.table({"part": [place]}))
    ]


def run(made: Plan, store: Store, *, resumes: bool = False) -> list[pa.Table]:
    parts = made.parts()
    sheaves = stored(made, store, folder.unfinished(store, parts), resumes=resumes)
    collected = manifest.Parts(store, parts)
    # As they come from several renderers: in no order.
    for place in np.random.default_rng(len(sheaves)).permutation(len(sheaves)):
        collected.add(sheaves[place]["part"][0].as_py(), pipeline.rows_of(sheaves[place]))
    publishing.publish(store, made, None, summarise=True)
    return sheaves


@pytest.fixture(scope="module")
def unbroken(made: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, all at once; not to be changed."""
    place = tmp_path_factory.mktemp("unbroken") / "run-1"
    run(made, open_store(str(place)))
    return place


def contents(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


def test_a_run_writes_what_it_promises(made: Plan, unbroken: Path) -> None:
    chosen = {f"temperature={t:g}/{index:06d}" for t in TEMPERATURES for index in range(COUNT)}
    bases = chosen | {f"bach/{index:04d}" for index in range(BACH)}
    expected = {f"{base}.{suffix}" for base in bases for suffix in made.config.formats}
    expected |= {part.manifest for part in made.parts()} | {"index.html", "summary.json"}
    written = set(contents(unbroken))
    assert {key for key in written if not key.startswith("page/")} == expected
    # Starting over deletes exactly this.
    assert all(map(plan.is_written_by_runs, written))


def test_the_manifest_tells_of_every_chorale_what_was_composed(made: Plan, unbroken: Path) -> None:
    files = contents(unbroken)
    for part in made.parts():
        rows = pq.read_table(unbroken / part.manifest, partitioning=None)
        assert rows.schema.equals(manifest.SCHEMA)
        assert rows["index"].to_pylist() == list(range(part.start, part.stop))
        for row, request in zip(rows.to_pylist(), made.requests(part), strict=True):
            chords = np.array(row["chords"], np.int16).reshape(-1, 4)
            np.testing.assert_array_equal(chords, Sampler()._one(request).chords)
            assert (row["temperature"], row["seed"]) == (part.temperature, 0)
            assert row["checkpoint"] == made.model
            judged = critique([chords]).as_dict()
            assert {name: row[name] for name in manifest.FIGURES} == {
                name: judged[name] for name in manifest.FIGURES
            }
            # Of what was composed alone: the opening of 2 chords is given. Bach's is, all of it.
            notes = np.arange(0 if part.temperature is None else 8, 4 * CHORDS)
            assert row["nats_per_note"] == notes.mean()
            for file in row["files"]:
                content = files[file["key"]]
                assert file["size"] == len(content)
                assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_summary_sets_each_temperature_beside_bach(made: Plan, unbroken: Path) -> None:
    summary = json.loads((unbroken / "summary.json").read_text())
    for name, part_temperature in (("0.8", 0.8), ("1.5", 1.5)):
        chords = [
            Sampler()._one(request).chords
            for part in made.parts()
            if part.temperature == part_temperature
            for request in made.requests(part)
        ]
        figures = summary["temperatures"][name]
        nats = figures.pop("nats_per_note")
        assert figures == critique(chords).as_dict()
        assert nats == pytest.approx(np.arange(8, 4 * CHORDS).mean())
    bach = critique([piece for _, piece in made.bach]).as_dict()
    assert summary["bach"].items() >= bach.items()
    pieces = [path for path in unbroken.rglob("*") if path.suffix in (".wav", ".mid", ".musicxml")]
    assert summary["files"] == len(pieces) == 2 * (2 * COUNT + BACH)
    assert summary["bytes"] == sum(path.stat().st_size for path in pieces)


def test_a_run_that_was_broken_off_anywhere_ends_as_an_unbroken_one(
    made: Plan, unbroken: Path, tmp_path: Path
) -> None:
    whole = contents(unbroken)
    rng = np.random.default_rng(0)
    for attempt in range(3):
        place = tmp_path / str(attempt)
        # Any files may be there, manifests of parts only where all their files are.
        kept = {key for key in whole if rng.random() < 0.5 and not key.startswith(("page/", "in"))}
        kept.discard("summary.json")
        for part in made.parts():
            keys = {
                part.key(index, suffix)
                for index in range(part.start, part.stop)
                for suffix in made.config.formats
            }
            if rng.random() < 0.5:
                kept -= {part.manifest}
            else:
                kept |= keys | {part.manifest}
        for key in kept:
            (place / key).parent.mkdir(parents=True, exist_ok=True)
            (place / key).write_bytes(whole[key])
        before = {key: (place / key).stat().st_mtime_ns for key in kept}
        sheaves = run(made, open_store(str(place)), resumes=True)
        assert contents(place) == whole
        again = {key for key in kept if (place / key).stat().st_mtime_ns != before[key]}
        assert again == set(), "these were there and were written once more"
        missing = {key.rpartition(".")[0] for key in whole if key.startswith("temp")} - {
            base
            for base in {key.rpartition(".")[0] for key in kept if key.startswith("temp")}
            if all(f"{base}.{suffix}" in kept for suffix in made.config.formats)
        }
        assert sum(sheaf["written"][0].as_py() for sheaf in sheaves) == len(missing)


def test_a_file_of_another_size_is_written_once_more(
    made: Plan, unbroken: Path, tmp_path: Path
) -> None:
    whole = contents(unbroken)
    cut = tmp_path / "temperature=0.8" / "000001.mid"
    cut.parent.mkdir()
    cut.write_bytes(whole["temperature=0.8/000001.mid"][:-1])
    run(made, open_store(str(tmp_path)), resumes=True)
    assert contents(tmp_path) == whole


def test_objects_say_what_they_are(made: Plan) -> None:
    puts: dict[str, tuple[str, Any]] = {}

    class Memory:
        uri = "s3://bucket/prefix/run-1"

        def put(self, key: str, _: bytes, *, content_type: str, metadata: Any = None) -> None:
            puts[key] = (content_type, metadata)

    scores = made.config.model_copy(update={"formats": FORMATS})
    stored(replace(made, config=scores), Memory(), [2, 4], resumes=False)  # type: ignore[arg-type]
    common = {"run": "run-1", "model": made.model}
    composed = {"temperature": "0.8", "index": "65"} | common
    assert puts["temperature=0.8/000065.wav"] == ("audio/wav", composed)
    assert puts["temperature=0.8/000065.mid"] == ("audio/midi", composed)
    bach = {"temperature": "bach", "index": "1"} | common
    assert puts["bach/0001.musicxml"] == ("application/vnd.recordare.musicxml+xml", bach)


def test_a_part_is_always_composed_as_the_same_batch(made: Plan) -> None:
    # The sampler's arithmetic may depend on a chorale's place in its batch.
    composer = Compose(made, gpu=False)
    sampler = Sampler()
    composer.__dict__["_sampler"] = sampler
    places = [2, 0, 4, 1]
    for _ in composer(pa.table({"part": places})):
        pass
    assert sampler.asked == [3, PART_SIZE, BACH, PART_SIZE]


def test_a_manifest_that_is_there_and_differs_is_not_overwritten(
    made: Plan, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    parts = made.parts()
    store.put(parts[0].manifest, b"another run's", content_type="")
    collected = manifest.Parts(store, parts)
    *first, last = map(pipeline.rows_of, stored(made, store, [0], resumes=False))
    for rows in first:
        collected.add(0, rows)
    with pytest.raises(UserError, match=r"part-00000.parquet: is there, but is not"):
        collected.add(0, last)


def test_a_damaged_part_is_named(made: Plan, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    part = Part(0.8, 0, 0, 1)
    for damage in (None, b"PAR1"):
        if damage:
            store.put(part.manifest, damage, content_type="")
        with pytest.raises(UserError, match=r"part-00000.parquet: is missing or damaged"):
            list(manifest.read(store, [part]))


def test_new_links_touch_nothing_but_the_page(
    made: Plan, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run-1"
    shutil.copytree(unbroken, place)
    (place / "summary.json").unlink()
    monkeypatch.setattr(
        LocalStore,
        "presign",
        lambda self, key, hours: f"https://host/{key}?for={hours:g}",
    )
    publishing.publish(open_store(str(place)), made, 3, summarise=False)
    before, after = contents(unbroken), contents(place)
    changed = {key for key in after if after[key] != before[key]}
    assert "index.html" in changed
    assert all(key == "index.html" or key.startswith("page/") for key in changed)
    assert b"https://host/page/page.css?for=3" in after["index.html"]
    assert not (place / "summary.json").exists()


def test_a_dry_run_writes_nothing_and_knows_the_sizes(
    config: GenerationConfig, unbroken: Path, tmp_path: Path
) -> None:
    options = GenerationOptions(output=str(tmp_path), name="run-1")
    told = dry_run.dry_run(config, options)
    assert list(tmp_path.iterdir()) == []
    assert told["there"] == {"files": 0, "bytes": 0}
    assert (told["chorales"], told["excerpts"]) == (2 * COUNT, BACH)
    wavs = [path.stat().st_size for path in unbroken.rglob("*.wav")]
    assert told["bytes"]["wav"] == sum(wavs)
    with wave.open(str(next(unbroken.rglob("*.wav")))) as sound:
        assert sound.getnframes() == wavs[0] // 4 - 11
    midis = sum(path.stat().st_size for path in unbroken.rglob("*.mid"))
    assert told["bytes"]["mid"] == pytest.approx(midis, rel=0.5)


def test_a_dry_run_says_what_is_there(
    config: GenerationConfig, made: Plan, unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run-1")
    folder.save(open_store(str(tmp_path / "run-1")), made.asked() | {"device": "cpu"})
    before = contents(tmp_path)
    told = dry_run.dry_run(config, GenerationOptions(output=str(tmp_path), name="run-1"))
    assert contents(tmp_path) == before
    assert told["complete"]
    assert told["there"]["files"] == told["files"] == 2 * (2 * COUNT + BACH)
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match=r"seed \(0 there, 1 now\)"):
        dry_run.dry_run(other, GenerationOptions(output=str(tmp_path), name="run-1"))
