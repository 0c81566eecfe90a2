"""A plan names the chorales of a generation run, and refuses bad input before a file is written."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from composers import chorales
from generated import CHORDS, PART_SIZE, TEMPERATURES
from observed import refused

from rnnray.chorale.data import chorale_table
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.plan import BACH_COUNT, Plan, is_written_by_runs, make_plan
from rnnray.errors import UserError


def test_every_chorale_of_every_temperature_is_in_exactly_one_part(made: Plan) -> None:
    for count, device in product((1, PART_SIZE, PART_SIZE + 1, 1000), ("cpu", "gpu")):
        config = made.config.model_copy(update={"count": count})
        plan = replace(made, config=config, device=device)
        parts = plan.parts()
        for temperature in TEMPERATURES:
            indices = [
                index
                for part in parts
                if part.temperature == temperature
                for index in range(part.start, part.stop)
            ]
            assert indices == list(range(count))
        assert parts[-1].temperature is None
        assert all(0 < part.stop - part.start <= plan.part_size for part in parts)
        assert len({part.manifest for part in parts}) == len(parts)


def test_all_temperatures_can_be_heard_soon(made: Plan) -> None:
    parts = made.parts()
    assert [part.temperature for part in parts] == [*TEMPERATURES, *TEMPERATURES, None]


def test_bachs_excerpts_are_of_the_test_split_as_long_as_what_is_composed(made: Plan) -> None:
    assert [name for name, _ in made.bach] == ["test 0", "test 2", "test 3"]
    assert all(piece.shape == (CHORDS, 4) for _, piece in made.bach)
    first = chorales(20, 33, 9, CHORDS, 40)[1]
    np.testing.assert_array_equal(made.bach[0][1], first[:CHORDS])


@pytest.mark.parametrize(
    ("chords", "splits", "expected"),
    [
        (30, ["valid", "train"], ["valid 1"]),  # no test split
        (30, ["test", "train"], ["test 1"]),
        (50, ["test", "train"], ["train 0"]),  # nothing of the test split is that long
        (99, ["test", "train"], ["test 1", "test 0"]),  # nothing is: the longest ones, whole
    ],
)
def test_a_page_has_real_pieces_whatever_the_corpus_and_the_length(
    config: GenerationConfig, tmp_path: Path, chords: int, splits: list[str], expected: list[str]
) -> None:
    pieces = [(splits[0], length) for length in (20, 33)] + [(splits[1], 60)]
    corpus = chorale_table.from_chorales(
        (f"{number}", split, chorales(length)[0]) for number, (split, length) in enumerate(pieces)
    )
    pq.write_table(corpus, tmp_path / "corpus.parquet")
    changes = {"data": str(tmp_path / "corpus.parquet"), "chords": chords, "seed_from": None}
    found = make_plan("run-1", config.model_copy(update=changes)).bach
    assert [name for name, _ in found] == expected


def test_another_seed_shows_other_pieces_of_bach(config: GenerationConfig, tmp_path: Path) -> None:
    corpus = chorale_table.from_chorales(
        (f"{number:02}", "test", piece) for number, piece in enumerate(chorales(*[CHORDS] * 60))
    )
    pq.write_table(corpus, tmp_path / "corpus.parquet")
    names = []
    for seed in (0, 1, 0):
        changes = {"data": str(tmp_path / "corpus.parquet"), "seed": seed}
        bach = make_plan("run-1", config.model_copy(update=changes)).bach
        assert len(bach) == len(dict(bach)) == BACH_COUNT
        names.append([name for name, _ in bach])
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checkpoint": "/nowhere"}, "not a checkpoint of the composer"),
        ({"chords": 10**6}, "more than an hour"),
        ({"seed_from": f"test:0:{CHORDS}"}, "leaves nothing to compose"),
        ({"seed_from": "test:9:1"}, "test has 4 chorales"),
        ({"data": "/nowhere"}, "no such file"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    config: GenerationConfig, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(make_plan, "run-1", config.model_copy(update=changes))


def test_a_relative_checkpoint_is_found_by_processes_that_work_elsewhere(
    config: GenerationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Path(config.checkpoint)
    monkeypatch.chdir(checkpoint.parent)
    plan = make_plan("run-1", config.model_copy(update={"checkpoint": checkpoint.name}))
    assert plan.config.checkpoint == str(checkpoint)


@pytest.mark.parametrize(
    "key",
    [
        *("page/mine.js", "page/page.js.orig", "page/photos/000.js", "page/temperature=1/a.js"),
        *("page//page.css", "page/../page/page.css", "page/bach", "manifest/../part-00000.parquet"),
        *("temperature=1\n/000000.wav", "temperature=../000000.wav", "temperature=1/\u0663.wav"),
        *("temperature=hot/000000.wav", "bach/part-0.parquet.bak", "lock.json", "mine/run.yaml"),
    ],
)
def test_what_no_run_writes_is_no_run_s(key: str) -> None:
    assert not is_written_by_runs(key)


@pytest.mark.parametrize("damage", [None, b"PK but not for long"])
def test_a_checkpoint_without_a_whole_model_is_told_before_anything_is_written(
    config: GenerationConfig, tmp_path: Path, damage: bytes | None
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(config.checkpoint, checkpoint)
    (checkpoint / "model.keras").unlink()
    if damage:
        (checkpoint / "model.keras").write_bytes(damage)
    with pytest.raises(UserError, match=r"model.keras: is (not there|damaged)"):
        make_plan("run-1", config.model_copy(update={"checkpoint": str(checkpoint)}))


def test_what_is_kept_of_a_run_has_no_secrets(made: Plan) -> None:
    paths = {
        "checkpoint": "s3://key:secret@bucket/runs/epoch-0001?token=secret",
        "data": "s3://key:secret@bucket/corpus.parquet",
    }
    asked = replace(made, config=made.config.model_copy(update=paths)).asked()
    assert asked["checkpoint"] == "s3://bucket/runs/epoch-0001"
    assert "secret" not in json.dumps(asked)
