"""The statistics in a checkpoint are its corpus's own, or are refused in a line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from composers import chorales, small_config
from observed import refused
from yaml import safe_load

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.critique import critique
from rnnray.chorale.data import chorale_table, reference
from rnnray.chorale.data.corpus_statistics import (
    STATISTICS_FILE,
    read_statistics,
    statistics_of,
    to_json,
)
from rnnray.chorale.data.reference import open_corpus_of, read_reference
from rnnray.errors import UserError

PIECES = chorales(20, 33, 9, 12)
SPLITS = ("train", "test", "test", "valid")


@pytest.fixture(scope="module")
def corpus() -> pa.Table:
    return chorale_table.from_chorales(
        (f"{number}", split, piece)
        for number, (split, piece) in enumerate(zip(SPLITS, PIECES, strict=True))
    )


def checkpoint(folder: Path, corpus: pa.Table | None, data: str = "/nowhere") -> str:
    """A checkpoint's text files, as training writes them."""
    config = small_config("strong").model_copy(update={"data": data})
    statistics = "" if corpus is None else to_json(statistics_of(corpus))
    folder.mkdir()
    (folder / "position.json").write_text("{}")
    for name, text in ChoraleTask(config, statistics).checkpoint_files().items():
        (folder / name).write_text(text)
    assert ChoraleConfig.model_validate(safe_load((folder / "config.yaml").read_text())) == config
    return str(folder)


def test_a_checkpoint_s_statistics_are_those_of_its_corpus(
    corpus: pa.Table, tmp_path: Path
) -> None:
    found = read_statistics(checkpoint(tmp_path / "c", corpus))
    assert found is not None
    statistics, content = found
    assert content == (tmp_path / "c" / STATISTICS_FILE).read_bytes()
    assert statistics.critique == critique(PIECES)
    for voice, column in enumerate(np.concatenate(PIECES).T):
        expected = {int(pitch): int((column == pitch).sum()) for pitch in np.unique(column)}
        counts = statistics.pitches[voice]
        assert {pitch: count for pitch, count in enumerate(counts.tolist()) if count} == expected
    assert [name for name, _ in statistics.examples] == ["test 0", "test 1"]
    for (_, piece), expected_piece in zip(statistics.examples, PIECES[1:3], strict=True):
        assert piece.dtype == np.int16
        np.testing.assert_array_equal(piece, expected_piece)


def test_composing_needs_no_corpus_but_for_an_opening(
    corpus: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoint(tmp_path / "kept", corpus, "jsb")
    opened = []

    def open_corpus(data: str, split: str | None = None) -> pa.Table:
        opened.append(data)
        return corpus

    monkeypatch.setattr(reference, "open_corpus", open_corpus)
    found = read_reference(kept, None, None)
    assert (opened, found.opening) == ([], None)
    opening = read_reference(kept, None, "test:1:4").opening
    np.testing.assert_array_equal(opening, PIECES[2][:4])
    assert opened == ["jsb"]
    # The named corpus is read; without a name, the checkpoint's own if it has no statistics.
    named = read_reference(kept, "music21", None)
    older = read_reference(checkpoint(tmp_path / "older", None, "jsb"), None, None)
    assert opened == ["jsb", "music21", "jsb"]
    for one in (named, older):
        assert one.statistics.critique == found.statistics.critique
        assert [name for group in one.examples for name, _ in group] == [
            *("test 0", "test 1", "valid 0", "train 0"),
        ]
    assert named.digest == older.digest != found.digest


def test_marks_that_an_older_file_lacks_are_those_of_its_examples(
    corpus: pa.Table, tmp_path: Path
) -> None:
    values = json.loads(to_json(statistics_of(corpus)))
    del values["critique"]["clashes"], values["critique"]["endings"]
    values["critique"] |= {"crossing": 0.25, "out_of_range": 0}
    folder = Path(checkpoint(tmp_path / "c", corpus))
    (folder / STATISTICS_FILE).write_text(json.dumps(values))
    found = read_statistics(str(folder))
    assert found is not None
    marks, of_examples = found[0].critique, critique([PIECES[1], PIECES[2]])
    assert marks.crossing == 0.25
    for name in ("clashes", "endings", "out_of_range"):
        assert getattr(marks, name) == getattr(of_examples, name)


def test_a_corpus_that_is_gone_says_whose_it_was(tmp_path: Path) -> None:
    config = small_config("strong").model_copy(update={"data": str(tmp_path / "gone")})
    with pytest.raises(UserError, match=r"gone: no such .*trained on; --data names another"):
        open_corpus_of(config, None)


def test_a_sweep_s_checkpoints_carry_the_statistics_too(corpus: pa.Table) -> None:
    from rnnray.chorale.chorale_tuning import ChoraleProblem  # noqa: PLC0415  (imports Ray)

    text = to_json(statistics_of(corpus))
    config = small_config("strong")
    task = ChoraleProblem(config, None, text).task(config)
    assert task.checkpoint_files()[STATISTICS_FILE] == text


def changed(**changes: Any) -> Any:
    return lambda values: json.dumps(values | changes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "[" * 100_000,
        lambda _: "[]",
        lambda values: json.dumps({"critique": values["critique"]}),
        changed(critique={}),
        lambda values: json.dumps(values | {"critique": values["critique"] | {"steps": "many"}}),
        lambda values: json.dumps(values | {"critique": values["critique"] | {"steps": 1e999}}),
        changed(pitches=[[1, 2]]),
        changed(pitches=[[-1] * 128] * 4),
        changed(pitches=[[10**30] * 128] * 4),
        changed(examples=[]),
        changed(examples=[{"name": "a\n", "voices": [[60, 4]] * 4}]),
        changed(examples=[{"name": "a", "voices": [[60, 4]] * 3}]),
        changed(examples=[{"name": "a", "voices": [[60, 4], [60, 4], [60, 4], [60, 5]]}]),
        changed(examples=[{"name": "a", "voices": [[20, 4]] * 4}]),
        changed(examples=[{"name": "a", "voices": [[60, -4]] * 4}]),
        changed(examples=[{"name": "a", "voices": [[60, 10**12]] * 4}]),
        changed(examples=[{"name": "a", "voices": [[60, 4, 60]] * 4}]),
    ],
)
def test_statistics_that_are_damaged_or_a_stranger_s_are_one_line(
    corpus: pa.Table, tmp_path: Path, damage: Any
) -> None:
    folder = checkpoint(tmp_path / "c", corpus)
    file = Path(folder) / STATISTICS_FILE
    file.write_text(damage(json.loads(file.read_text())))
    message = refused(read_statistics, folder)
    assert message.startswith(f"{file}: damaged, or not the statistics")


def test_the_corpus_that_the_checkpoint_carries_gives_a_run_s_excerpts(
    corpus: pa.Table, tmp_path: Path
) -> None:
    from rnnray.chorale.generation.plan import _excerpts  # noqa: PLC0415

    pq.write_table(corpus, tmp_path / "corpus.parquet")
    for config in (
        {"checkpoint": checkpoint(tmp_path / "kept", corpus), "data": None},
        {
            "checkpoint": checkpoint(tmp_path / "older", None),
            "data": str(tmp_path / "corpus.parquet"),
        },
    ):
        groups = read_reference(str(config["checkpoint"]), config["data"], None).examples
        assert [name for name, _ in _excerpts(groups, 30, 0)] == ["test 0"]
