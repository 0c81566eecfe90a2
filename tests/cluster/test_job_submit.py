"""The job as a cluster runs it: `ray job submit` against a Ray cluster with its job server."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import REPOSITORY

BIN = Path(sys.executable).parent


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/api/version", timeout=2).close()
    except urllib.error.HTTPError:
        return True  # it asks for a token, so it is there
    except OSError:
        return False
    return True


@pytest.fixture
def job_server(free_ports: Callable[[int], list[int]]) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster of its own on 127.0.0.1: its job server's address, and the environment to use."""
    gcs, dashboard, agent = free_ports(3)
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "TF_"))}
    # The job's shebang must find this Python, as it would in the image of a cluster.
    environment["PATH"] = f"{BIN}:{os.environ['PATH']}"
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or it listens on the network too
    # Short: Ray puts Unix sockets below it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as temp:
        head = subprocess.Popen(
            [
                *(BIN / "ray", "start", "--head", "--block", "--num-cpus", "3"),
                *("--node-ip-address", "127.0.0.1", "--port", str(gcs)),
                *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1"),
                *("--dashboard-port", str(dashboard), "--temp-dir", temp, "--disable-usage-stats"),
                # The other Ray of these tests has the usual port.
                *("--dashboard-agent-listen-port", str(agent)),
            ],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{dashboard}"
        try:
            deadline = time.monotonic() + 90
            while not answers(address):
                assert head.poll() is None, head.stdout and head.stdout.read()
                assert time.monotonic() < deadline, "the job server does not answer"
                time.sleep(0.5)
            yield address, environment
        finally:
            # Not `ray stop`, which would stop every Ray on the machine.
            head.terminate()
            with suppress(subprocess.TimeoutExpired):
                head.communicate(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)


def test_the_job_runs_under_ray_job_submit(
    job_server: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, environment = job_server
    model = [
        argument
        for name, value in {"filters": "8 8 8", "units": "8", "layers": "1"}.items()
        for argument in (f"--model.{name}", *value.split())
    ]
    command = [
        *(BIN / "ray", "job", "submit", "--address", address, "--working-dir", REPOSITORY),
        *("--", "jobs/train_sketch.py", "--preset", "notebook", "--data", "demo:600"),
        *("--epochs", "1", *model),
        *("--storage-path", tmp_path / "runs", "--name", "submitted"),
    ]
    for _ in range(5):
        done = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if "No available agent" not in done.stderr:
            break
        time.sleep(1)  # the job server answers before the cluster's first node can run a job
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
