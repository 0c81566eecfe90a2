"""The page and the summary of a generation run, the metadata of its files, and the dry run."""

import json
import shutil
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import BACH, CHORDS, COUNT, PART_SIZE, Memory, Sampler, run, stored
from observed import contents

from rnnray import cluster
from rnnray.artifacts import open_store
from rnnray.artifacts.local import LocalStore
from rnnray.chorale.composing_options import rule_nats
from rnnray.chorale.critique import critique
from rnnray.chorale.generation import dry_run, folder, manifest, pipeline, publishing
from rnnray.chorale.generation.generation_options import (
    FORMATS,
    GenerationConfig,
    GenerationOptions,
)
from rnnray.chorale.generation.plan import Plan
from rnnray.chorale.generation.run import generate
from rnnray.errors import UserError


def test_the_summary_sets_each_temperature_beside_bach(made: Plan, unbroken: Path) -> None:
    summary = json.loads((unbroken / "summary.json").read_text())
    for name, part_temperature in (("0.8", 0.8), ("1.5", 1.5)):
        chords = [
            Sampler.one(request).chords
            for part in made.parts()
            if part.temperature == part_temperature
            for request in made.requests(part)
        ]
        statistics = summary["temperatures"][name]
        nats = statistics.pop("nats_per_note")
        assert statistics == critique(chords).as_dict()
        assert nats == pytest.approx(np.arange(8, 4 * CHORDS).mean())
    assert summary["rules"] == rule_nats(["strict", "hidden=0"])
    assert summary["temperature_on"] == "pitch"
    # Bach's are those of the corpus, not of the excerpts.
    assert made.corpus_critique["chorales"] == 5 > len(made.bach)
    assert summary["bach"].items() >= made.corpus_critique.items()
    index = (unbroken / "index.html").read_text()
    run = json.loads(index.partition('id="run">')[2].partition("</script>")[0])
    assert run["bach_chorales"] == 5
    assert run["rules"] == "strict, hidden=0"
    for name, mean in (("crossing", "crossing"), ("longest_frozen", "frozen")):
        assert run["bach"][name] == pytest.approx(made.corpus_critique[mean], rel=1e-3)
    assert run["bach"]["nats_per_note"] is not None
    pieces = [path for path in unbroken.rglob("*") if path.suffix in (".wav", ".mid", ".musicxml")]
    assert summary["files"] == len(pieces) == 2 * (2 * COUNT + BACH)
    assert summary["bytes"] == sum(path.stat().st_size for path in pieces)


def test_objects_say_what_they_are(made: Plan) -> None:
    scores = made.config.model_copy(update={"count": 2, "formats": FORMATS})
    plan = replace(made, config=scores)
    store: Any = Memory()
    folder.save(store, plan)
    collected = manifest.Parts(store, plan)
    for batch in stored(plan, store, [0, 1, 2], resumes=False):
        collected.add(batch["part"][0].as_py(), pipeline.rows_of(batch))
    publishing.publish(store, plan, None, summarise=True)
    common = {"run": "run-1", "model": made.model}
    composed, bach = common | {"temperature": "0.8"}, common | {"temperature": "bach"}
    about = store.about
    assert about["temperature=0.8/000001.wav"] == ("audio/wav", composed | {"index": "1"})
    assert about["temperature=0.8/000001.flac"] == ("audio/flac", composed | {"index": "1"})
    assert about["bach/0001.ogg"] == ("audio/ogg", bach | {"index": "1"})
    assert about["temperature=0.8/000001.mid"] == ("audio/midi", composed | {"index": "1"})
    score = "application/vnd.recordare.musicxml+xml"
    assert about["bach/0001.musicxml"] == (score, bach | {"index": "1"})
    parquet = "application/vnd.apache.parquet"
    assert about["manifest/0.8/part-00000.parquet"] == (parquet, composed)
    assert about["bach/part-00000.parquet"] == (parquet, bach)
    assert about["index.html"] == ("text/html; charset=utf-8", common)
    assert about["page/bach/figures.js"] == ("text/javascript; charset=utf-8", common)
    assert about["summary.json"] == ("application/json", common)
    assert about["run.yaml"] == ("application/yaml", common)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake presigned links for a local folder."""
    monkeypatch.setattr(
        LocalStore,
        "presign",
        lambda self, key, hours: f"https://host/{key}?for={hours:g}&X-Amz-Signature=abc",
    )


@pytest.mark.usefixtures("links")
def test_new_links_touch_nothing_but_the_page(made: Plan, unbroken: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run-1"
    shutil.copytree(unbroken, copy)
    (copy / "summary.json").unlink()
    publishing.publish(open_store(str(copy)), made, 3, summarise=False)
    before, after = contents(unbroken), contents(copy)
    changed = {key for key in after if after[key] != before[key]}
    assert "index.html" in changed
    assert all(key == "index.html" or key.startswith("page/") for key in changed)
    assert b"https://host/page/page.css?for=3" in after["index.html"]
    assert not (copy / "summary.json").exists()


@pytest.fixture
def complete(
    made: Plan, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> GenerationOptions:
    """A complete run, which needs no cluster."""
    monkeypatch.setattr(cluster, "connect", None)
    shutil.copytree(unbroken, tmp_path / "run-1")
    folder.save(open_store(str(tmp_path / "run-1")), made)
    return GenerationOptions(output=str(tmp_path), name="run-1")


@pytest.mark.usefixtures("links")
def test_links_that_have_expired_become_plain_ones_again(
    config: GenerationConfig, complete: GenerationOptions, tmp_path: Path
) -> None:
    plain = contents(tmp_path)
    generate(config, complete.model_copy(update={"presign_hours": 3}))
    assert b"https://host/" in contents(tmp_path)["run-1/index.html"]
    generate(config, complete)
    assert contents(tmp_path) == plain
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    generate(config, complete)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.usefixtures("links")
def test_new_links_of_a_run_on_gpus_need_no_gpu(
    made: Plan, config: GenerationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan keeps the run's kind of device, whose parts are larger than those of CPUs."""
    monkeypatch.setattr(cluster, "connect", None)
    store = open_store(str(tmp_path / "run-1"))
    plan = replace(made, device="gpu")
    folder.save(store, plan)
    assert len(plan.parts()) == 3 < len(made.parts())
    run(plan, store)
    options = GenerationOptions(output=str(tmp_path), name="run-1", presign_hours=3)
    assert generate(config, options).found == 2 * COUNT
    assert b"https://host/" in contents(tmp_path)["run-1/index.html"]


def test_a_dry_run_writes_nothing_and_knows_the_sizes(
    config: GenerationConfig, unbroken: Path, tmp_path: Path
) -> None:
    options = GenerationOptions(output=str(tmp_path), name="run-1")
    told = dry_run.dry_run(config, options)
    assert list(tmp_path.iterdir()) == []
    assert told["there"] == {"files": 0, "bytes": 0}
    assert told["missing"] == {"chorales": 2 * COUNT, "parts": 5}
    assert (told["chorales"], told["excerpts"]) == (2 * COUNT, BACH)
    wavs = [path.stat().st_size for path in unbroken.rglob("*.wav")]
    assert told["bytes"]["wav"] == sum(wavs)
    with wave.open(str(next(unbroken.rglob("*.wav")))) as sound:
        assert sound.getnframes() == wavs[0] // 4 - 11
    midis = sum(path.stat().st_size for path in unbroken.rglob("*.mid"))
    assert told["bytes"]["mid"] == pytest.approx(midis, rel=0.5)


def test_a_dry_run_says_what_is_there_and_what_is_missing(
    config: GenerationConfig,
    complete: GenerationOptions,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents(tmp_path)
    told = dry_run.dry_run(config, complete)
    assert contents(tmp_path) == before
    assert told["complete"]
    assert told["there"]["files"] == told["files"] == 2 * (2 * COUNT + BACH)
    assert told["missing"] == {"chorales": 0, "parts": 0}
    (tmp_path / "run-1" / "summary.json").unlink()
    (tmp_path / "run-1" / "manifest" / "0.8" / "part-00000.parquet").unlink()
    told = dry_run.dry_run(config, complete)
    assert not told["complete"]
    assert told["missing"] == {"chorales": PART_SIZE, "parts": 1}
    assert f"missing: {PART_SIZE} chorales, 1 of 5 parts" in capsys.readouterr().out
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match=r"seed \(0 there, 1 now\)"):
        dry_run.dry_run(other, complete)
    (tmp_path / "run-1" / "run.yaml").write_bytes(b"")
    over = complete.model_copy(update={"overwrite": True})
    assert dry_run.dry_run(other, over)["missing"] == {"chorales": 2 * COUNT, "parts": 5}


def test_a_dry_run_knows_that_a_folder_has_no_links(
    config: GenerationConfig, tmp_path: Path
) -> None:
    options = GenerationOptions(output=str(tmp_path), presign_hours=1)
    with pytest.raises(UserError, match=r"time limit need an s3://"):
        dry_run.dry_run(config, options)
