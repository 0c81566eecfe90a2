"""Training the composer, from a corpus to a checkpoint and its plots."""

from typing import Any

import pyarrow as pa

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chorale_evaluation import evaluate
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus_statistics import statistics_of, to_json
from rnnray.chorale.data.training_windows import training_data
from rnnray.progress import say
from rnnray.training import driver, run_report
from rnnray.training.training_options import RunOptions


def train(config: ChoraleConfig, corpus: pa.Table, options: RunOptions) -> dict[str, Any]:
    """Train, evaluate the best checkpoint on the validation and the test split, draw the curves.

    Args:
        config: the model and how to train it.
        corpus: a chorale table. Its train split is trained on, and its validation split selects the
            best checkpoint. Its test split, if there is one, is used once, at the end.
        options: storage, workers and resources.

    Returns:
        The metrics of `chorale_evaluation.Evaluation` for the test split (for validation if there
        is none), `valid_nats_per_note`, and the paths of the written files.

    Raises:
        UserError: see `rnnray.chorale.data.training_windows.training_data` and
            `rnnray.training.driver.train`.
    """
    data = training_data(config, corpus)
    task = ChoraleTask(config, to_json(statistics_of(corpus)))
    split = "test" if "test" in corpus["split"].to_pylist() else "valid"
    if split == "valid":
        say(
            "no chorales in the test split: the best checkpoint will be evaluated on the "
            "validation split only"
        )
    run = driver.train(task, config, options, data)
    say("evaluating the best checkpoint over whole pieces")
    composer = TrainedComposer(run.best)
    result = on_validation = evaluate(
        composer, chorale_table.chords_of(chorale_table.select(corpus, "validation"))
    )
    if split == "test":
        result = evaluate(composer, chorale_table.chords_of(chorale_table.select(corpus, "test")))
    pictures = run_report.draw_curves(
        run, task, loss_label="nats per note", share_label="share of notes"
    )
    say(
        f"{split}: {result.nats_per_note:.4f} nats per note, accuracy {result.accuracy:.1%}, "
        f"of notes that move {result.moving_accuracy:.1%}; "
        f"in the book's windows {result.book_loss:.4f}, {result.book_accuracy:.1%}"
    )
    say(f"checkpoint {run.best}")
    say(f"plots      {pictures}")
    return result.as_dict() | {
        "split": split,
        "valid_nats_per_note": on_validation.nats_per_note,
        "epochs": len(run.history),
        "checkpoint": run.best,
        "last_checkpoint": run.last,
        "pictures": pictures,
    }
