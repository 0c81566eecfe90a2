"""Training the composer by several processes, and what its run leaves behind."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from lazily import Lazily
from tiny import RunJob
from tiny_chorale import MODEL, PIECES, TINY, TrainedChorale, chorale, sounds, write_csv

from rnnray.chorale.chorale_config import ChoraleConfig, strong
from rnnray.chorale.chorale_task import ChoraleTask, whole_pieces
from rnnray.chorale.chords import Chords
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus import open_corpus
from rnnray.training.rows import Blocks
from rnnray.training.strategy import create_strategy
from rnnray.training.worker import Worker

loops = Lazily("rnnray.training.loop")


def history(trained: TrainedChorale) -> list[dict[str, float]]:
    position = json.loads((trained.storage / "shared/epoch-0003/position.json").read_text())
    epochs: list[dict[str, float]] = position["history"]
    return epochs


def notes_of(corpus: Path, split: str) -> int:
    return sum(
        chords.size
        for chords in chorale_table.chords_of(chorale_table.select(open_corpus(str(corpus)), split))
    )


def test_the_job_says_what_it_does_and_ends_with_its_result(
    trained_chorale: TrainedChorale,
) -> None:
    result = trained_chorale.ended.result
    assert result["notes"] == notes_of(trained_chorale.corpus, "test")
    assert (result["split"], result["epochs"]) == ("test", 3)
    # Knowing nothing costs log(47); a tiny corpus in one key is learned better than that.
    for loss in ("nats_per_note", "valid_nats_per_note", "book_loss"):
        assert 0 < result[loss] < 0.6 * math.log(47)
    for share in ("accuracy", "book_accuracy"):
        assert 0.5 < result[share] < 1
    assert trained_chorale.ended.err == ""
    out = trained_chorale.ended.out
    assert "2 worker(s)" in out
    assert "epoch 3/3 done  loss" in out
    assert "notes/s" in out
    assert f"validation of {notes_of(trained_chorale.corpus, 'valid')} notes" in out


def test_the_run_leaves_a_checkpoint_curves_and_tensorboard_files(
    trained_chorale: TrainedChorale,
) -> None:
    result, run = trained_chorale.ended.result, trained_chorale.storage / "shared"
    for checkpoint in (Path(result["checkpoint"]), Path(result["last_checkpoint"])):
        assert checkpoint.parent == run
        files = {path.name for path in checkpoint.iterdir()}
        ours = {"config.yaml", "statistics.json", "README.md"}
        assert files == {"model.keras", "optimizer.npz", "position.json"} | ours
    assert Path(result["last_checkpoint"]).name == "epoch-0003"
    assert result["pictures"] == str(run / "pictures")
    assert (run / "pictures/learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((run / "tensorboard").glob("events.*"))


def test_the_saved_configuration_is_the_effective_one(trained_chorale: TrainedChorale) -> None:
    default = strong().model_dump()
    expected = ChoraleConfig.model_validate(
        default
        | TINY
        | {"data": str(trained_chorale.corpus)}
        | {"model": default["model"] | MODEL}
        | {"optimizer": default["optimizer"] | TINY["optimizer"]}
    )
    for folder in (trained_chorale.checkpoint, trained_chorale.storage / "shared"):
        saved = yaml.safe_load((folder / "config.yaml").read_text())
        assert ChoraleConfig.model_validate(saved) == expected


def test_every_note_counts_once_in_training_and_in_validation(
    trained_chorale: TrainedChorale,
) -> None:
    for metrics in history(trained_chorale):
        assert metrics["validation_count"] == notes_of(trained_chorale.corpus, "valid")
    assert PIECES["valid"] % 2, "two workers would share the pieces equally"


def test_evaluation_and_the_validation_within_training_agree(
    run_here: RunJob, trained_chorale: TrainedChorale
) -> None:
    """Two ways to the loss over whole pieces: the loop on two workers, and the job."""
    best = min(history(trained_chorale), key=lambda metrics: metrics["validation_loss"])
    assert trained_chorale.checkpoint.name == f"epoch-{best['epoch']:04d}"
    ended = run_here(
        "evaluate_chorale",
        *("--checkpoint", str(trained_chorale.checkpoint)),
        *("--data", str(trained_chorale.corpus), "--split", "valid"),
    )
    assert ended.code == 0, ended.err
    result = ended.result
    assert set(result) == {
        *("nats_per_note", "accuracy", "notes", "book_loss", "book_accuracy"),
        *("moving_accuracy", "split", "checkpoint"),
    }
    assert result["nats_per_note"] == pytest.approx(best["validation_loss"], rel=1e-5)
    assert result["nats_per_note"] == pytest.approx(
        trained_chorale.ended.result["valid_nats_per_note"], rel=1e-6
    )
    assert result["notes"] == best["validation_count"]
    # A note whose two likeliest are as likely may fall to either side.
    assert result["accuracy"] == pytest.approx(best["validation_accuracy"], abs=2 / result["notes"])


def test_a_finished_run_called_again_gives_the_same_result_and_trains_nothing(
    run_here: RunJob, trained_chorale: TrainedChorale
) -> None:
    weights = (trained_chorale.checkpoint / "model.keras").stat().st_mtime_ns
    ended = run_here(
        "train_chorale",
        *("--config", str(trained_chorale.config)),
        *("--storage-path", str(trained_chorale.storage), "--name", "shared"),
    )
    assert ended.code == 0, ended.err
    before = trained_chorale.ended.result
    assert set(ended.result) == set(before)
    for name, value in ended.result.items():
        expected = before[name]
        assert value == (
            pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else expected
        ), name
    assert "resuming" in ended.out
    assert "all epochs are done" in ended.out
    assert "epoch 1/3" not in ended.out
    assert (trained_chorale.checkpoint / "model.keras").stat().st_mtime_ns == weights


def test_a_composer_begins_with_another_s_weights_on_another_corpus(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    ended = run_here(
        "train_chorale",
        *("--config", str(trained_chorale.config), "--epochs", "1"),
        *("--data", str(trained_chorale.corpus / "train"), "--split", "80:10:10"),
        *("--init-from", str(trained_chorale.checkpoint)),
        *("--storage-path", str(tmp_path), "--name", "other"),
    )
    assert ended.code == 0, ended.out + ended.err
    found = re.search(r"begins with (\d+) of (\d+) arrays of weights of (\S+)", ended.out)
    assert found
    assert (found[1], found[3]) == (found[2], str(trained_chorale.checkpoint))
    assert "starts untrained" not in ended.out
    first = trained_chorale.ended.out.partition("loss ")[2].partition(" ")[0]
    assert float(ended.out.partition("loss ")[2].partition(" ")[0]) < float(first)


def overfitted(model: dict[str, Any], steps: int, piece: Chords, folder: Path) -> Path:
    """The checkpoint of a composer that has learned one piece by heart."""
    config = ChoraleConfig.model_validate(
        TINY
        | {"model": MODEL | model, "epochs": 1, "global_batch_size": 1, "shuffle_rows": 0}
        | {"optimizer": {"name": "adam", "learning_rate": 0.01, "schedule": "cosine"}}
    )
    row = whole_pieces([piece])

    def keep(metrics: dict[str, float], checkpoint: Path | None, name: str | None) -> None:
        assert checkpoint is not None
        shutil.copytree(checkpoint, folder)

    worker = Worker(
        0,
        1,
        Blocks.of([pa.concat_tables([row] * steps)]),
        Blocks.of([row]),
        lambda event: None,
        keep,
    )
    loops.TrainingLoop(ChoraleTask(config), config, worker, create_strategy(1)).run()
    return folder


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        ({"lstm_units": 32}, 100),
        # Normalisation would need many more steps until its moving statistics fit.
        (
            {"architecture": "notes", "lstm_units": 64, "filters": [32]}
            | {"batch_normalization": False},
            400,
        ),
    ],
    ids=["chords", "notes"],
)
def test_a_composer_that_overfits_one_chorale_reproduces_it_greedily(
    run_here: RunJob, tmp_path: Path, model: dict[str, Any], steps: int
) -> None:
    piece = chorale(3, 4)
    assert len({tuple(chord) for chord in piece.tolist()}) >= 5
    checkpoint = overfitted(model, steps, piece, tmp_path / "checkpoint")
    write_csv(tmp_path / "train" / "piece.csv", piece)
    ended = run_here(
        "compose",
        *("--checkpoint", str(checkpoint), "--data", str(tmp_path / "train")),
        *("--greedy", "--seed-from", "train:0:1", "--chords", str(len(piece))),
        *("--output", str(tmp_path / "out"), "--instrument", "sine"),
    )
    assert ended.code == 0, ended.err
    composed = sounds(tmp_path / "out/temperature=0/0000.mid", len(piece))
    assert composed.tolist() == piece.tolist()
    # What it costs to write on what one knows by heart.
    assert ended.result["temperatures"]["0"]["nats_per_note"] < 0.1
