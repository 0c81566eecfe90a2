"""The command `rnnray`: an installed package has the jobs, and says what they are."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import REPOSITORY

from rnnray import command

JOBS = sorted((REPOSITORY / "jobs").glob("*.py"))


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["rnnray", *arguments])
    monkeypatch.setattr("rnnray.job.program", None)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    code: Any = 0
    try:
        command.main()
    except SystemExit as ended:
        code = ended.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_lists_each_job_with_the_first_line_of_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys)
    assert code == 0
    for job in JOBS:
        name, first = job.stem.replace("_", "-"), job.read_text().splitlines()[1].strip('"')
        assert f"  {name} " in out
        assert first in out


def test_the_help_of_a_job_is_that_of_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "train-sketch", "--help")
    recorded = (Path(__file__).parent / "record/help/train_sketch.txt").read_text()
    assert code == 0
    assert "".join(f"{line.rstrip()}\n" for line in out.splitlines()) == recorded.replace(
        "jobs/train_sketch.py", "rnnray train-sketch", 1
    )


def test_a_job_s_exit_code_and_line_are_the_command_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--data", str(tmp_path / "nowhere"), "--name", "test:0")
    code, _, err = run(monkeypatch, capsys, "listen", *arguments)
    assert code == 1
    assert err.startswith(f"error: {tmp_path}/nowhere")


@pytest.mark.parametrize(
    ("name", "hint"), [("train-sketches", "did you mean train-sketch?"), ("x", "lists them")]
)
def test_an_unknown_job_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    code, out, err = run(monkeypatch, capsys, name)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: there is no job {name!r}; ")
    assert hint in err


def test_the_jobs_of_the_package_are_those_of_the_clone() -> None:
    assert (REPOSITORY / "rnnray" / "jobs").resolve() == (REPOSITORY / "jobs").resolve()
