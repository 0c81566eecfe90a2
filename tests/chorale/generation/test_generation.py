"""A generation run without Ray composes, renders and stores its chorales, and resumes."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from generated import BACH, CHORDS, COUNT, TEMPERATURES, Sampler, run, stored
from observed import contents, refused

from rnnray.artifacts import open_store
from rnnray.chorale.critique import critique
from rnnray.chorale.generation import manifest, pipeline, plan
from rnnray.chorale.generation.plan import Part, Plan
from rnnray.errors import UserError


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
            np.testing.assert_array_equal(chords, Sampler.one(request).chords)
            assert (row["temperature"], row["seed"]) == (part.temperature, 0)
            assert row["checkpoint"] == made.model
            assert row["rules"] == (None if part.temperature is None else "strict hidden=0")
            judged = critique([chords]).as_dict()
            assert {name: row[name] for name in manifest.STATISTICS} == {
                name: judged[name] for name in manifest.STATISTICS
            }
            # The mean over composed notes, without the 2 given chords; of Bach's, over all notes.
            notes = np.arange(0 if part.temperature is None else 8, 4 * CHORDS)
            assert row["nats_per_note"] == notes.mean()
            for file in row["files"]:
                content = files[file["key"]]
                assert file["size"] == len(content)
                assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_manifest_is_one_table_for_pandas(unbroken: Path) -> None:
    """Folders called temperature=… would be a second column of that name."""
    rows = pd.read_parquet(unbroken / "manifest")
    assert list(rows.columns) == manifest.SCHEMA.names
    assert rows.groupby("temperature")["index"].count().to_dict() == {0.8: COUNT, 1.5: COUNT}


def test_a_run_that_was_broken_off_anywhere_ends_as_an_unbroken_one(
    made: Plan, unbroken: Path, tmp_path: Path
) -> None:
    whole = contents(unbroken)
    rng = np.random.default_rng(0)
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        # Any files may exist, but the manifest of a part only if all its files do.
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
        wrong = planted_wrong(made, kept, rng)
        for key in kept:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(whole[key])
        for key in wrong:
            (folder / key).write_bytes(whole[wrong[key]])
        kept -= wrong.keys()
        before = {key: (folder / key).stat().st_mtime_ns for key in kept}
        batches = run(made, open_store(str(folder)), resumes=True)
        assert contents(folder) == whole
        assert any(len(whole[key]) == len(whole[other]) for key, other in wrong.items())
        again = {key for key in kept if (folder / key).stat().st_mtime_ns != before[key]}
        assert again == set(), "these were there and were written once more"
        missing = {key.rpartition(".")[0] for key in whole if key.startswith("temp")} - {
            base
            for base in {key.rpartition(".")[0] for key in kept if key.startswith("temp")}
            if all(f"{base}.{suffix}" in kept for suffix in made.config.formats)
        }
        assert sum(batch["written"][0].as_py() for batch in batches) == len(missing)


def planted_wrong(made: Plan, kept: set[str], rng: np.random.Generator) -> dict[str, str]:
    """Some files of parts without a manifest, each with another chorale's file whose content it
    gets; of WAVs, these have the same size.
    """
    wrong = {}
    for part in made.parts():
        for suffix in made.config.formats:
            keys = [part.key(index, suffix) for index in range(part.start, part.stop)]
            there = [key for key in keys if key in kept and part.manifest not in kept]
            for key in there[: len(there) // 2]:
                wrong[key] = str(rng.choice([other for other in keys if other != key]))
    return wrong


def test_a_manifest_that_is_there_and_differs_is_not_overwritten(
    made: Plan, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    store.put(made.part(0).manifest, b"another run's", content_type="")
    collected = manifest.Parts(store, made)
    *first, last = map(pipeline.rows_of, stored(made, store, [0], resumes=False))
    for rows in first:
        collected.add(0, rows)
    with pytest.raises(UserError, match=r"part-00000.parquet: exists, but differs"):
        collected.add(0, last)


def test_a_damaged_part_is_named(made: Plan, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "{0}"))
    part = Part(0.8, 0, 0, 1)
    for damage in (None, b"PAR1"):
        if damage:
            store.put(part.manifest, damage, content_type="")
        message = refused(lambda: list(manifest.read(store, [part])))
        file = f"{store.uri}/manifest/0.8/part-00000.parquet"
        assert message.startswith(f"{file}: is missing or damaged; delete it and summary")
