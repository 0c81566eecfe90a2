from pathlib import Path

import pytest
from toy import ToyTask

from rnnray.training.run_report import RunReport


def test_a_dead_worker_is_named_by_its_error_and_not_by_tensorflow_s_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = (
        "Traceback (most recent call last):\n"
        '  File "loop.py", line 1, in run\n'
        "tensorflow.python.framework.errors_impl.UnavailableError: Collective ops is aborted\n"
        "\t [[{{node CollectiveReduceV2}}]] [Op:__inference_step_1]\n"
    )
    with RunReport(str(tmp_path), ToyTask()) as report:
        report.handle({"kind": "failure", "failures": {1: message, 0: ""}})
    out = capsys.readouterr().out
    assert "worker 1 failed: tensorflow.python.framework.errors_impl.UnavailableError" in out
    assert "worker 0 failed: it died" in out
    assert "CollectiveReduceV2" not in out


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


def test_a_worker_that_was_told_to_leave_is_named_and_what_comes_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunReport(str(tmp_path), ToyTask()) as report:
        report.handle({"kind": "leaving", "rank": 1, "step": 24})
        report.handle({"kind": "again"})
        report.handle({"kind": "silence"})
    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], waiting_share: float, words: str
) -> None:
    event = {"rank": 1, "node": "10.0.0.7", "times": 10.2, "seconds": 0.5, "others_seconds": 0.049}
    with RunReport(str(tmp_path), ToyTask()) as report:
        report.handle({"kind": "straggler", "waiting_share": waiting_share, **event})
    line = capsys.readouterr().out
    assert "worker 1 on 10.0.0.7 takes 10 times as long as the others" in line
    assert "(0.500 s, they 0.049 s)" in line
    assert words in line


def test_storage_that_gave_up_is_what_the_user_is_told(tmp_path: Path) -> None:
    with RunReport(str(tmp_path), ToyTask()) as report:
        report.handle({"kind": "storage", "message": "s3: trying again"})
        assert report.last_words == ""
        report.handle({"kind": "storage", "message": "s3: refuses", "gave_up": True})
    assert report.last_words == "s3: refuses; mend it, then run the same again"


def test_tensorboard_files_that_the_storage_refuses_come_later_and_end_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "run"
    blocked.write_text("in the way")
    with RunReport(str(blocked), ToyTask()) as report:
        report.handle({"kind": "epoch", "epoch": 1, "epochs": 2, "metrics": METRICS})
        assert "TensorBoard must wait" in capsys.readouterr().out
        blocked.unlink()
        report.handle({"kind": "epoch", "epoch": 2, "epochs": 2, "metrics": METRICS})
    assert len(list((blocked / "tensorboard").glob("events.*"))) == 2


def test_a_stuck_group_is_told_once_with_the_stacks_of_all_its_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunReport(str(tmp_path), ToyTask()) as report:
        for rank in (0, 1):
            event = {"kind": "stuck", "rank": rank, "node": "10.0.0.7", "verdict": "worker 1 hangs"}
            report.handle(event | {"stacks": ["thread feed", f"    read.py:{rank} in read"]})
    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "stuck: worker 1 hangs",
        *("stacks of worker 0 on 10.0.0.7:", "    thread feed", "        read.py:0 in read"),
        *("stacks of worker 1 on 10.0.0.7:", "    thread feed", "        read.py:1 in read"),
    ]


def test_skipped_steps_are_counted_where_an_epoch_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunReport(str(tmp_path), ToyTask()) as report:
        for skipped in (0, 3):
            metrics = METRICS | {"skipped_steps": skipped}
            report.handle({"kind": "epoch", "epoch": 1, "epochs": 2, "metrics": metrics})
    assert capsys.readouterr().out.count("skipped") == 1
