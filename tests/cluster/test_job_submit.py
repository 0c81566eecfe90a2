"""The job as a cluster runs it: `ray job submit` against a Ray cluster with its job server."""

import json
import re
from pathlib import Path

from job_server import Head
from tiny import REPOSITORY


def test_the_job_runs_under_ray_job_submit(head: Head, tmp_path: Path) -> None:
    model = [
        argument
        for name, value in {"filters": "8 8 8", "units": "8", "layers": "1"}.items()
        for argument in (f"--model.{name}", *value.split())
    ]
    done = head.submit(
        *("--working-dir", REPOSITORY),
        *("--", "jobs/train_sketch.py", "--preset", "notebook", "--data", "demo:600"),
        *("--epochs", "1", *model),
        *("--storage-path", tmp_path / "runs", "--name", "submitted"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    (line,) = re.findall(r"^\{.*\}$", done.stdout, flags=re.MULTILINE)
    result = json.loads(line)
    assert (result["count"], result["epochs"]) == (60, 1)
    assert 0 <= result["top1"] <= result["top5"] <= 1
    assert result["checkpoint"] == str(tmp_path / "runs/submitted/epoch-0001")
    assert (Path(result["checkpoint"]) / "model.keras").is_file()
    assert (tmp_path / "runs/submitted/pictures/predictions.png").is_file()
    assert "epoch 1/1 done" in done.stdout
