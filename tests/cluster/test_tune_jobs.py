"""Sweeps through the job files: real models, real corpora, what they leave behind."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tiny_chorale
import yaml
from tiny import SOURCE, TINY, RunJob

PICTURES = ("score_curves.png", "score_against_fields.png", "parallel_coordinates.png")
RATES = {"low": 1.0e-3, "high": 3.0e-2, "log": True}


def write(file: Path, values: dict[str, Any]) -> str:
    file.write_text(yaml.safe_dump(values))
    return str(file)


def first_epoch_loss(checkpoint: str) -> float:
    history = json.loads((Path(checkpoint) / "position.json").read_text())["history"]
    return float(history[0]["loss"])


@pytest.mark.long
def test_the_best_configuration_of_a_sweep_trains_to_what_its_trial_trained_to(
    run_here: RunJob, tmp_path: Path
) -> None:
    corpus = tiny_chorale.write_corpus(tmp_path / "corpus")
    config = tiny_chorale.TINY | {"data": str(corpus), "epochs": 2}
    command = (
        "tune_chorale",
        *("--config", write(tmp_path / "tiny.yaml", config)),
        *("--space", write(tmp_path / "space.yaml", {"optimizer.learning_rate": RATES})),
        *("--samples", "2", "--scheduler", "none"),
        *("--storage-path", str(tmp_path / "runs"), "--name", "sweep"),
    )
    swept = run_here(*command)
    assert swept.code == 0, swept.out + swept.err
    result = swept.result
    assert result["trials"] == result["finished"] == 2
    assert not (tmp_path / "runs/sweep/lock.json").exists()
    assert (Path(result["checkpoint"]) / "model.keras").is_file()
    assert all((Path(result["pictures"]) / name).stat().st_size > 10_000 for name in PICTURES)
    reports = pq.read_table(result["reports"]).to_pylist()
    assert sorted({row["trial"] for row in reports}) == ["trial-00000", "trial-00001"]
    assert len(reports) == 4
    of_best = [row for row in reports if row["trial"] == result["best_trial"]]
    assert min(row["validation_loss"] for row in reports) == result["validation_loss"]
    best = yaml.safe_load(Path(result["best"]).read_text())
    assert best["optimizer"]["learning_rate"] == of_best[0]["optimizer.learning_rate"]

    trained = run_here(
        "train_chorale",
        *("--config", result["best"]),
        *("--storage-path", str(tmp_path / "runs"), "--name", "again"),
    )
    assert trained.code == 0, trained.out + trained.err
    first = first_epoch_loss(trained.result["last_checkpoint"])
    assert first == pytest.approx(of_best[0]["loss"], rel=1e-5)

    tiny_chorale.write_csv(corpus / "valid/piece_0.csv", tiny_chorale.chorale(99, 8))
    asked_again = ("train_chorale", "--config", result["best"], *command[-4:-2], "--name", "again")
    for again, what in ((command, "a sweep"), (asked_again, "a run")):
        line = run_here(*again).failed_with()
        assert f"holds {what} on other data: pieces.valid/piece_0 ('" in line


def test_a_sweep_of_the_sketch_classifier_ends_with_a_checkpoint_that_evaluates(
    run_here: RunJob, tmp_path: Path
) -> None:
    space = {
        "optimizer.learning_rate": RATES,
        "model.filters": [[8, 8, 8], [8, 8, 16]],
        "model.bidirectional": [False, True],
    }
    swept = run_here(
        "tune_sketch",
        *("--config", write(tmp_path / "tiny.yaml", TINY | {"data": SOURCE, "epochs": 2})),
        *("--space", write(tmp_path / "space.yaml", space), "--preset", "notebook"),
        *("--samples", "2", "--report-every", "19", "--metric", "validation_loss"),
        *("--storage-path", str(tmp_path / "runs"), "--name", "sweep"),
    )
    assert swept.code == 0, swept.out + swept.err
    result = swept.result
    assert result["trials"] == 2
    reports = pq.read_table(result["reports"]).to_pylist()
    assert any(not float(row["epoch"]).is_integer() for row in reports)  # --report-every
    assert min(row["validation_loss"] for row in reports) == result["validation_loss"]

    evaluated = run_here(
        "evaluate_sketch",
        *("--checkpoint", result["checkpoint"], "--data", SOURCE, "--split", "validation"),
    )
    assert evaluated.code == 0, evaluated.out + evaluated.err
    assert evaluated.result["loss"] == pytest.approx(result["validation_loss"], rel=1e-4)
