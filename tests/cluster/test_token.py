"""A head with token authentication lets in who has its token, and nobody else."""

import os
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
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import REPOSITORY

BIN = Path(sys.executable).parent
DRIVER = """
import ray
from rnnray import cluster
cluster.connect()
print("let in", ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


@dataclass(frozen=True)
class Head:
    """A cluster of its own on 127.0.0.1."""

    server: str
    """Its job server."""
    agent: str
    """What starts a job's driver on the node."""
    gcs: str
    """What a driver connects to."""
    environment: dict[str, str]
    """Of a process that has the token."""

    def with_token(self, file: Path | None) -> dict[str, str]:
        """The environment of a process that has another token, or none."""
        # Seconds that a refused driver goes on asking; 20 by default.
        environment = self.environment | {"RAY_NUM_REDIS_GET_RETRIES": "3"}
        if file is not None:
            return environment | {"RAY_AUTH_TOKEN_PATH": str(file)}
        del environment["RAY_AUTH_TOKEN_PATH"], environment["RAY_AUTH_MODE"]
        return environment | {"HOME": "/nonexistent"}  # where Ray would look for one


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/api/version", timeout=2).close()
    except urllib.error.HTTPError:
        return True  # it asks for a token, so it is there
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def head(
    free_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Head]:
    gcs, dashboard, agent, client = free_ports(4)
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "TF_"))}
    environment["PATH"] = f"{BIN}:{os.environ['PATH']}"
    environment["PYTHONPATH"] = str(REPOSITORY)
    environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or it listens on the network too
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(secrets.token_hex(32))
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    # Short: Ray puts Unix sockets below it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as temp:
        process = subprocess.Popen(
            [
                *(BIN / "ray", "start", "--head", "--block", "--num-cpus", "2"),
                *("--node-ip-address", "127.0.0.1", "--port", str(gcs)),
                *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1"),
                *("--dashboard-port", str(dashboard), "--temp-dir", temp, "--disable-usage-stats"),
                *("--dashboard-agent-listen-port", str(agent)),
                *("--ray-client-server-port", str(client)),
                *("--object-store-memory", str(100 << 20)),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        found = Head(
            server=f"http://127.0.0.1:{dashboard}",
            agent=f"http://127.0.0.1:{agent}",
            gcs=f"127.0.0.1:{gcs}",
            environment=environment,
        )
        try:
            deadline = time.monotonic() + 90
            while not answers(found.server):
                assert process.poll() is None
                assert time.monotonic() < deadline, "the job server does not answer"
                time.sleep(0.3)
            yield found
        finally:
            # Not `ray stop`, which would stop every Ray on the machine.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def started(command: list[object], environment: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(word) for word in command],
        env=environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Another head's token."""
    file = tmp_path / "wrong"
    file.write_text(secrets.token_hex(32))
    return file


def test_a_job_is_refused_without_the_token_and_runs_with_it(
    head: Head, wrong: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    submit = [BIN / "ray", "job", "submit", "--address", head.server, "--", "touch", ran]
    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    for process in [started(submit, head.with_token(file), tmp_path) for file in (None, wrong)]:
        code, out, err = ended(process)
        assert code != 0
        assert "uthentication" in err, err
        assert token not in out + err
    assert not ran.exists()
    for _ in range(5):
        code, out, err = ended(started(submit, head.environment, tmp_path))
        if "No available agent" not in err:
            break
        time.sleep(1)  # the job server answers before the cluster's first node can run a job
    assert code == 0, out + err
    assert ran.exists()
    assert token not in out + err


def test_job_server_and_agent_tell_nothing_without_the_token(head: Head) -> None:
    server, agent = head.server, f"{head.agent}/api/job_agent"
    for address in (
        *(f"{server}/api/jobs/", f"{server}/nodes?view=summary", f"{server}/api/v0/actors"),
        *(f"{agent}/jobs/", f"{agent}/jobs/1/logs"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(address, timeout=10)
        assert caught.value.code in (401, 403), address


def test_a_driver_is_refused_without_the_token_and_let_in_with_it(
    head: Head, wrong: Path, tmp_path: Path
) -> None:
    *refused, taken = [
        started([sys.executable, "-c", DRIVER], one | {"RAY_ADDRESS": head.gcs}, tmp_path)
        for one in (head.with_token(None), head.with_token(wrong), head.environment)
    ]
    code, out, err = ended(taken)
    assert "let in 42" in out, err
    for process in refused:
        code, out, err = ended(process)
        assert code != 0
        assert "let in" not in out
        assert "no Ray cluster lets us in at RAY_ADDRESS=" in err, err
