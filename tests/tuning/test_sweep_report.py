from dataclasses import dataclass, field
from typing import Any

import pytest
from toy import ToyTask

from rnnray.tuning import sweep_report
from rnnray.tuning.sweep_report import SweepReport, status_of, table


@dataclass
class FakeTrial:
    trial_id: str
    rate: float
    status: str = "RUNNING"
    last_result: dict[str, Any] = field(default_factory=dict)
    metric_analysis: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return {"values": {"optimizer.learning_rate": self.rate, "model.filters": (8, 16)}}

    def is_finished(self) -> bool:
        return self.status == "TERMINATED"

    def __str__(self) -> str:
        return f"trial-{self.trial_id}"


def result(epoch: int, right: float) -> dict[str, Any]:
    metrics = {"epoch": epoch, "loss": 0.5, "validation_right": right}
    return {"validation_right": right, "metrics": metrics}


def test_the_table_comes_with_the_first_result_of_a_slow_sweep_best_trial_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep_report, "_TABLE_SECONDS", 0.0)
    trials: Any = [FakeTrial("00000", 0.00123456), FakeTrial("00001", 0.1)]
    said = SweepReport(ToyTask.score, 3, 2)
    # Ray Tune calls before it notes the result in the trial: last_result is still empty.
    said.on_trial_result(1, trials, trials[0], result(1, 0.25))
    said.on_trial_result(2, trials, trials[1], result(2, 0.75))
    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "trial-00000 epoch 1/3  loss 0.5000  validation_right 0.2500"
    assert lines[-3].split() == [
        *("trial", "status", "epoch", "validation_right", "learning_rate", "filters"),
    ]
    assert lines[-2].split()[:5] == ["trial-00001", "running", "2", "0.7500", "0.1"]
    assert lines[-1].split()[:5] == ["trial-00000", "running", "1", "0.2500", "0.00123"]


def test_a_trial_without_a_score_is_in_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    trials: Any = [FakeTrial("00000", 0.1)]
    said = SweepReport(ToyTask.score, 3, 1)
    said.on_trial_result(1, trials, trials[0], result(1, float("nan")))
    said.on_experiment_end(trials)
    assert "best so far" not in capsys.readouterr().out


def test_how_a_trial_ended_is_told_from_its_last_report() -> None:
    assert status_of({"epoch": 3, "diverged": 0.0}, 3) == "finished"
    assert status_of({"epoch": 1, "diverged": 0.0}, 3) == "stopped"
    assert status_of({"epoch": 3, "diverged": 1.0}, 3) == "diverged"
    assert status_of({}, 3) == "stopped"


def test_columns_of_a_table_are_aligned() -> None:
    assert table([{"a": "1", "long": "2"}, {"a": "333", "long": "4"}]) == [
        "  a  long",
        "  1     2",
        "333     4",
    ]


def test_the_table_of_a_resumed_sweep_has_the_trials_that_ended_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep_report, "_TABLE_SECONDS", 0.0)
    ended = FakeTrial("00000", 0.1, status="TERMINATED", last_result=result(3, 0.8))
    ended.metric_analysis = {"validation_right": {"max": 0.9, "min": 0.5}}
    running = FakeTrial("00001", 0.2, last_result=result(1, 0.4))
    running.metric_analysis = {"validation_right": {"max": 0.4, "min": 0.4}}
    trials: Any = [ended, running]
    SweepReport(ToyTask.score, 3, 2).on_trial_result(1, trials, trials[1], result(2, 0.3))
    lines = capsys.readouterr().out.splitlines()
    assert "1 of 2 trials ended" in lines[1]
    assert "trial-00000" in lines[3]
    assert "0.9000" in lines[3]
    assert "trial-00001" in lines[4]
    assert "0.4000" in lines[4]
