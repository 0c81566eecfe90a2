"""The record of every job's options, their defaults and their help."""

import runpy
import sys
from pathlib import Path

import pytest
from recorded import RECORD, same_text

REPOSITORY = Path(__file__).parents[2]
JOBS = sorted((REPOSITORY / "jobs").glob("*.py"))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_help(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "argv", [job.name, "--help"])
    monkeypatch.chdir(job.parents[1])  # for the name of the job that the help begins with
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(f"jobs/{job.name}", run_name="__main__")
    assert exit_.value.code == 0
    text = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    same_text(f"help/{job.stem}.txt", text.replace(f"{REPOSITORY}/", ""))


def test_no_job_is_gone() -> None:
    assert {file.stem for file in (RECORD / "help").iterdir()} == {job.stem for job in JOBS}
