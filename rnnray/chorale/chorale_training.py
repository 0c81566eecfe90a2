"""Training the composer, from a corpus to a checkpoint and its pictures."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from rnnray import storage
from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chorale_evaluation import evaluate
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus_statistics import statistics_of, to_json
from rnnray.chorale.data.training_windows import training_data
from rnnray.progress import say
from rnnray.training import driver, training_plots
from rnnray.training.run_options import RunOptions


def train(config: ChoraleConfig, corpus: pa.Table, options: RunOptions) -> dict[str, Any]:
    """Train, evaluate the best checkpoint on the valid and the test split, draw the curves.

    Args:
        config: the model and how to train it.
        corpus: a chorale table; its train split is trained on, its valid split selects the best
            checkpoint, its test split, where there is one, is looked at once, at the end.
        options: where, and on how many workers.

    Returns:
        The figures of `chorale_evaluation.Evaluation` for the test split (for valid where there is
        none), `valid_nats_per_note`, and the paths of what was written.

    Raises:
        UserError: see `rnnray.chorale.data.training_windows.training_data` and
            `rnnray.training.driver.train`.
    """
    data = training_data(config, corpus)
    task = ChoraleTask(config, to_json(statistics_of(corpus)))
    split = "test" if "test" in corpus["split"].to_pylist() else "valid"
    if split == "valid":
        say("no chorales in test: the best checkpoint will be judged by valid alone")
    run = driver.train(task, config, options, data)
    say("evaluating the best checkpoint over whole pieces")
    composer = TrainedComposer(run.best)
    result = on_valid = evaluate(
        composer, chorale_table.chords_of(chorale_table.select(corpus, "valid"))
    )
    if split == "test":
        result = evaluate(composer, chorale_table.chords_of(chorale_table.select(corpus, "test")))
    with tempfile.TemporaryDirectory() as temporary:
        training_plots.learning_curves(
            Path(temporary) / "learning_curves.png",
            run.history,
            metric_names=task.metric_names,
            score=task.score,
            loss_label="nats per note",
            share_label="share of notes",
        )
        pictures = storage.join(run.folder, "pictures")
        storage.copy_folder(Path(temporary), pictures)
    say(
        f"{split}: {result.nats_per_note:.4f} nats per note, accuracy {result.accuracy:.1%}, "
        f"of notes that move {result.moving_accuracy:.1%}; "
        f"in the book's windows {result.book_loss:.4f}, {result.book_accuracy:.1%}"
    )
    say(f"checkpoint {run.best}")
    say(f"pictures   {pictures}")
    return result.as_dict() | {
        "split": split,
        "valid_nats_per_note": on_valid.nats_per_note,
        "epochs": len(run.history),
        "checkpoint": run.best,
        "last_checkpoint": run.last,
        "pictures": pictures,
    }
