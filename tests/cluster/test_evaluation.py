"""Evaluation counts every drawing exactly once, by however many workers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import HELD_OUT, SOURCE, Trained

from rnnray.errors import UserError
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.sketch_evaluation import Evaluation, evaluate


@pytest.fixture(scope="module")
def evaluations(trained: Trained) -> list[Evaluation]:
    """Of the validation split, by one worker and by three, who cannot share it equally."""
    drawings = open_drawings(SOURCE)
    checkpoint = str(trained.checkpoint)
    return [evaluate(checkpoint, drawings, "validation", workers=n) for n in (1, 3)]


def test_each_drawing_counts_once_with_one_worker_and_with_three(
    evaluations: list[Evaluation],
) -> None:
    assert HELD_OUT % 3
    rows = open_drawings(SOURCE).dataset("validation").to_pandas()
    true = np.bincount(rows["class_index"], minlength=len(evaluations[0].confusion))
    for evaluation in evaluations:
        assert evaluation.count == HELD_OUT
        np.testing.assert_array_equal(evaluation.confusion.sum(1), true)


def test_the_result_does_not_depend_on_the_number_of_workers(
    evaluations: list[Evaluation],
) -> None:
    one, *others = evaluations
    for other in others:
        np.testing.assert_array_equal(other.confusion, one.confusion)
        assert other.loss == pytest.approx(one.loss, abs=1e-9)
        assert (other.top1, other.top5) == (one.top1, one.top5)


def test_evaluation_and_the_validation_within_training_agree(
    trained: Trained, evaluations: list[Evaluation]
) -> None:
    position = json.loads((trained.checkpoint / "position.json").read_text())
    metrics = position["history"][-1]
    evaluation = evaluations[0]
    assert metrics["validation_count"] == evaluation.count == HELD_OUT
    assert metrics["validation_loss"] == pytest.approx(evaluation.loss, rel=1e-4)
    # A drawing on the edge may fall to either side: the model was laid out another way there.
    assert metrics["validation_top1"] == pytest.approx(evaluation.top1, abs=1.01 / HELD_OUT)
    assert metrics["validation_top5"] == pytest.approx(evaluation.top5, abs=1.01 / HELD_OUT)


def test_the_shares_are_those_of_the_confusions(evaluations: list[Evaluation]) -> None:
    evaluation = evaluations[0]
    right = np.trace(evaluation.confusion) / evaluation.count
    assert evaluation.top1 == pytest.approx(right)
    assert evaluation.top1 <= evaluation.top5 <= 1
    # Better than chance by far, so that the counts above mean something.
    assert evaluation.top5 > 2 * 5 / len(evaluation.confusion)


def test_a_checkpoint_with_another_class_list_is_refused(trained: Trained, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.checkpoint, copy)
    names = (copy / "classes.txt").read_text().splitlines()
    (copy / "classes.txt").write_text("\n".join([names[1], names[0], *names[2:]]) + "\n")
    with pytest.raises(UserError, match="their lists differ; the first difference is class 0"):
        evaluate(str(copy), open_drawings(SOURCE), "validation")
