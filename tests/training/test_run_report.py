"""What a run says, and its learning curves, which are looked into before they are saved."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_plot_style import assert_all_text_inside, pixels
from toy import ToyTask

from rnnray.training.run_report import RunReport, learning_curves

Said = Callable[..., list[str]]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """Returns the lines that a run says of events."""

    def said(*events: dict[str, Any]) -> list[str]:
        with RunReport(str(tmp_path), ToyTask()) as report:
            for event in events:
                report.handle(event)
        return [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]

    return said


def test_a_dead_worker_is_named_by_its_error_and_not_by_tensorflow_s_last_line(said: Said) -> None:
    message = (
        "Traceback (most recent call last):\n"
        '  File "loop.py", line 1, in run\n'
        "tensorflow.python.framework.errors_impl.UnavailableError: Collective ops is aborted\n"
        "\t [[{{node CollectiveReduceV2}}]] [Op:__inference_step_1]\n"
    )
    reasons = enumerate(("", message))
    lines = said(*({"kind": "failure", "rank": n, "reason": reason} for n, reason in reasons))
    assert lines[0].startswith("worker 0 failed: it died")
    error = "tensorflow.python.framework.errors_impl.UnavailableError"
    assert lines[1].startswith(f"worker 1 failed: {error}")
    assert not any("CollectiveReduceV2" in line for line in lines)


METRICS = {
    "loss": 1.0,
    "right": 0.5,
    "validation_loss": 1.1,
    "validation_right": 0.4,
    "validation_count": 7.0,
    "per_second": 10.0,
    "waiting_share": 0.01,
}


def test_tensorboard_files_hold_every_epoch_on_a_local_disk(tmp_path: Path) -> None:
    with RunReport(str(tmp_path), ToyTask()) as report:
        for epoch in (1, 2):
            report.handle({"kind": "epoch", "epoch": epoch, "epochs": 2, "metrics": METRICS})
            files = list((tmp_path / "tensorboard").glob("events.*"))
            assert len(files) == epoch  # there while the run goes on
    content = b"".join(file.read_bytes() for file in files)
    assert content.count(b"validation/right") == 2
    assert content.count(b"train/loss") == 2


def test_a_worker_that_was_told_to_leave_is_named_and_what_comes_then(said: Said) -> None:
    leaving = {"kind": "leaving", "rank": 1, "step": 24}
    lines = said(leaving, {"kind": "again"}, {"kind": "silence"})
    assert lines[:2] == [
        "worker 1 was told to leave: checkpoint at step 24",
        "starting the workers again, from the last checkpoint",
    ]
    assert lines[2].startswith("starting workers (0 s")


@pytest.mark.parametrize(
    ("waiting_share", "words"),
    [(0.9, "mostly waiting for its data"), (0.1, "computing: is its node busy?")],
)
def test_a_straggler_is_named_with_its_node_and_what_it_does(
    said: Said, waiting_share: float, words: str
) -> None:
    event = {"rank": 1, "node": "10.0.0.7", "times": 10.2, "seconds": 0.5, "others_seconds": 0.049}
    (line,) = said({"kind": "straggler", "waiting_share": waiting_share, **event})
    assert "worker 1 on 10.0.0.7 takes 10 times as long as the others" in line
    assert "(0.500 s, they 0.049 s)" in line
    assert words in line


def test_tensorboard_files_that_the_storage_refuses_come_later_and_end_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "run"
    blocked.write_text("in the way")
    with RunReport(str(blocked), ToyTask()) as report:
        report.handle({"kind": "epoch", "epoch": 1, "epochs": 2, "metrics": METRICS})
        assert "TensorBoard files are not written yet" in capsys.readouterr().out
        blocked.unlink()
        report.handle({"kind": "epoch", "epoch": 2, "epochs": 2, "metrics": METRICS})
    assert len(list((blocked / "tensorboard").glob("events.*"))) == 2


def test_a_stuck_group_is_told_once_with_the_stacks_of_all_its_workers(said: Said) -> None:
    event = {"kind": "stuck", "node": "10.0.0.7", "verdict": "worker 1 hangs"}
    stacks = [["thread feed", f"    read.py:{rank} in read"] for rank in (0, 1)]
    assert said(*(event | {"rank": rank, "stacks": stacks[rank]} for rank in (0, 1))) == [
        "stuck: worker 1 hangs",
        *("stacks of worker 0 on 10.0.0.7:", "    thread feed", "        read.py:0 in read"),
        *("stacks of worker 1 on 10.0.0.7:", "    thread feed", "        read.py:1 in read"),
    ]


def test_skipped_steps_are_counted_where_an_epoch_ends(said: Said) -> None:
    event = {"kind": "epoch", "epoch": 1, "epochs": 2}
    lines = said(*(event | {"metrics": METRICS | {"skipped_steps": each}} for each in (0, 3)))
    assert "".join(lines).count("skipped") == 1


def epochs(count: int, **changes: float) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(epoch),
            "loss": 5.0 / epoch,
            "top1": 0.5 - 0.4 / epoch,
            "top5": 0.9 - 0.4 / epoch,
            "validation_loss": 5.5 / epoch,
            "validation_top1": 0.45 - 0.4 / epoch,
            "validation_top5": 0.85 - 0.4 / epoch,
            "learning_rate": 0.01,
            **changes,
        }
        for epoch in range(1, count + 1)
    ]


def draw(path: Path, history: Sequence[dict[str, float]]) -> None:
    learning_curves(path, history, metric_names=("top1", "top5"), score=("validation_top1", "max"))


@pytest.mark.parametrize("count", [1, 3, 50])
def test_curves_show_each_epoch_and_mark_the_best(drawn: list[Figure], count: int) -> None:
    history = epochs(count)
    history[count // 2]["validation_top1"] = 0.72
    draw(Path("unused"), history)
    loss, accuracy = drawn[0].axes
    assert [len(line.get_xdata()) for line in loss.lines[:2]] == [count] * 2
    assert [len(line.get_xdata()) for line in accuracy.lines[:4]] == [count] * 4
    best = count // 2 + 1
    assert loss.lines[-1].get_xdata()[0] == accuracy.lines[-1].get_xdata()[0] == best
    assert accuracy.get_title(loc="left").endswith(f"72.0% in epoch {best}")
    low, high = accuracy.get_ylim()
    assert all(low <= row[key] <= high for row in history for key in ("top1", "validation_top5"))
    assert_all_text_inside(drawn[0])
    ticks = [tick for tick in loss.get_xticks() if 0.5 <= tick <= count + 0.5]
    assert ticks
    assert all(tick == int(tick) for tick in ticks), "there is no half epoch"


def test_epochs_without_validation_leave_a_gap_and_are_never_best(drawn: list[Figure]) -> None:
    history = epochs(4)
    for row in history[1:3]:
        row.update(validation_loss=np.nan, validation_top1=np.nan, validation_top5=np.inf)
    draw(Path("unused"), history)
    accuracy = drawn[0].axes[1]
    assert np.isnan(accuracy.lines[1].get_ydata()).tolist() == [False, True, True, False]
    assert np.isnan(accuracy.lines[3].get_ydata()).tolist() == [False, True, True, False]
    assert accuracy.lines[-1].get_xdata()[0] == 4


def test_of_equal_epochs_the_one_whose_checkpoint_is_kept_is_marked(drawn: list[Figure]) -> None:
    draw(Path("unused"), epochs(4, validation_top1=0.5))
    assert drawn[0].axes[1].lines[-1].get_xdata()[0] == 4


@pytest.mark.parametrize("keys", [["validation_top1"], list(epochs(1)[0])[1:]])
def test_curves_without_a_single_validation_mark_no_best(tmp_path: Path, keys: list[str]) -> None:
    path = tmp_path / "curves.png"
    draw(path, epochs(2, **dict.fromkeys(keys, np.nan)))
    pixels(path)


def test_curves_of_a_perfect_or_hopeless_run(drawn: list[Figure]) -> None:
    keys = ["top1", "top5", "validation_top1", "validation_top5"]
    for value in (0.0, 1.0):
        draw(Path("unused"), epochs(2, **dict.fromkeys(keys, value)))
        low, high = drawn[-1].axes[1].get_ylim()
        assert 0 <= low < high <= 1
        assert low <= value <= high


def test_curves_of_no_epoch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epochs"):
        draw(tmp_path / "curves.png", [])


def test_without_a_metric_the_loss_alone_is_drawn(drawn: list[Figure]) -> None:
    learning_curves(Path("unused"), epochs(2), metric_names=(), score=("validation_loss", "min"))
    (loss,) = drawn[0].axes
    assert loss.get_title(loc="left").startswith("Loss: best validation loss")
    assert_all_text_inside(drawn[0])


def test_metrics_that_are_no_shares_are_not_shown_in_percent(drawn: list[Figure]) -> None:
    history = [
        {"epoch": 1.0, "loss": 9.0, "validation_loss": 9.0, "km": 30.0, "validation_km": 40.0}
    ]
    score: Any = ("validation_km", "min")
    learning_curves(Path("unused"), history, metric_names=("km",), score=score, shares=())
    metrics = drawn[0].axes[1]
    assert metrics.get_title(loc="left") == "Metrics: best validation km 40.0000 in epoch 1"
    assert metrics.get_ylim()[1] > 40
    assert not any("%" in text.get_text() for text in metrics.get_yticklabels())


def test_a_run_judged_by_its_loss_marks_the_lowest_and_says_its_unit(drawn: list[Figure]) -> None:
    history = [
        {"epoch": i + 1.0, "loss": 0.5, "validation_loss": loss, "accuracy": 0.8,
         "validation_accuracy": accuracy}
        for i, (loss, accuracy) in enumerate([(0.6, 0.7), (0.419, 0.8), (0.43, 0.85)])
    ]  # fmt: skip
    learning_curves(
        Path("unused"),
        history,
        metric_names=("accuracy",),
        score=("validation_loss", "min"),
        loss_label="nats per note",
        share_label="share of notes",
    )
    loss, shares = drawn[0].axes
    assert loss.get_title(loc="left") == "Loss: best validation loss 0.4190 in epoch 2"
    assert shares.get_title(loc="left") == "Accuracy"
    assert (loss.get_ylabel(), shares.get_ylabel()) == ("nats per note", "share of notes")
    assert loss.lines[-1].get_xdata()[0] == shares.lines[-1].get_xdata()[0] == 2
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["training accuracy", "validation accuracy", "best epoch"]
    assert_all_text_inside(drawn[0])


def test_metrics_are_told_apart_by_more_than_colour(drawn: list[Figure]) -> None:
    draw(Path("unused"), epochs(3))
    top1, _, top5, _ = drawn[0].axes[1].lines[:4]
    assert top1.get_linestyle() != top5.get_linestyle()
    assert top1.get_label() == "training top-1"
    assert top5.get_label() == "training top-5"
