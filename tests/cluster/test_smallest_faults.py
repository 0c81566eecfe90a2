"""A notice, a lost worker and a storage that refuses, each in the smallest run that shows it.

The others are told by `make faults`.
"""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from nodes import runs
from tiny import REPOSITORY, TINY
from toy_faults import Aside, Traced, check_history, trace, train_toy, wait_for


def test_a_driver_that_gets_sigterm_leaves_a_checkpoint_and_one_line(
    ray_cluster: None, tmp_path: Path
) -> None:
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY | {"data": "demo:3010", "epochs": 50}))
    out = tmp_path / "out"
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    driver = subprocess.Popen(
        [
            *(sys.executable, "-u", "jobs/train_sketch.py", "--preset", "notebook"),
            *("--config", str(config), "--storage-path", str(tmp_path), "--name", "run"),
        ],
        cwd=REPOSITORY,
        env=environment,
        stdout=out.open("w"),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: "epoch 1/50" in out.read_text() or not runs(driver.pid))
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)
    said = out.read_text()
    assert driver.returncode == 143, said + err
    assert err == "error: stopped by SIGTERM; the same command resumes from what was saved\n"
    (step,) = re.findall(r"worker 0 was told to leave: checkpoint at step (\d+)", said)
    (checkpoint,) = (tmp_path / "run").glob(f"epoch-*-step-{int(step):07d}")
    position = json.loads((checkpoint / "position.json").read_text())
    assert position["step"] == int(step)
    assert (checkpoint / "model.keras").is_file()


@dataclass(frozen=True)
class Killed(Traced):
    """A worker dies once, in the first epoch."""

    def fault(self, rank: int, batches: int) -> None:
        if (rank, batches) == (1, 40) and self.once():
            os.kill(os.getpid(), signal.SIGKILL)


def test_an_elastic_run_outlasts_a_lost_worker_and_a_storage_that_refuses(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    blocked = tmp_path / "toy" / "epoch-0001"
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    out = ""

    def mend() -> None:
        nonlocal out

        def refused() -> bool:
            nonlocal out
            out += capsys.readouterr().out
            return "the storage refuses" in out

        wait_for(refused)
        blocked.unlink()

    with Aside(mend):
        run = train_toy(Killed(folder=str(tmp_path), seconds=0.0), epochs=1, workers="1:2")
    out += capsys.readouterr().out
    check_history(run, epochs=1)
    assert len({pid for rank in (0, 1) for pid, _ in trace(tmp_path, rank)}) > 2
    assert "worker 1 failed" in out
    assert "starting the workers again" in out
    assert re.search(r"training on \d worker", out)
    assert "written after" in out
