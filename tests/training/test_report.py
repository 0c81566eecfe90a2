from pathlib import Path

import pytest
from toy import ToyTask

from rnnray.training.report import RunReport


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


def test_tensorboard_files_hold_every_epoch_on_a_local_disk(tmp_path: Path) -> None:
    metrics = {
        "loss": 1.0,
        "right": 0.5,
        "validation_loss": 1.1,
        "validation_right": 0.4,
        "validation_count": 7.0,
        "per_second": 10.0,
        "waiting_share": 0.01,
    }
    with RunReport(str(tmp_path), ToyTask()) as report:
        for epoch in (1, 2):
            report.handle({"kind": "epoch", "epoch": epoch, "epochs": 2, "metrics": metrics})
    (file,) = (tmp_path / "tensorboard").glob("events.*")
    content = file.read_bytes()
    assert content.count(b"validation/right") == 2
    assert content.count(b"train/loss") == 2
