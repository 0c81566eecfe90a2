"""What a run keeps of what it was asked."""

from pathlib import Path

import pytest

from rnnray import run_folder


def test_a_submitted_job_says_that_results_in_its_working_directory_will_be_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for parent in ("ray/session/runtime_resources/working_dir_files/_ray_pkg_1/runs", "runs"):
        run_folder.keep(str(tmp_path / parent / "first"), "config.yaml", {"seed": 1}, "a run")
    (line,) = capsys.readouterr().out.splitlines()
    assert "_ray_pkg_1/runs/first: is in this job's copy of its working directory" in line
    assert "give an absolute path or a URI" in line
