"""A Ray head on 127.0.0.1 with a job server that wants a token, and how to submit jobs to it."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tiny import REPOSITORY

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Head:
    """A cluster of its own."""

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

    def submission(self, *words: object) -> list[object]:
        """The command line that submits a job."""
        return [BIN / "ray", "job", "submit", "--address", self.server, *words]

    def submit(self, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Submit a job as somebody who has the token, and wait for its end."""
        for _ in range(5):
            done = subprocess.run(
                [str(word) for word in self.submission(*words)],
                env=self.environment,
                cwd=cwd,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            if "No available agent" not in done.stderr:
                break
            time.sleep(1)  # the job server answers before the cluster's first node can run a job
        return done


@contextmanager
def running(ports: Sequence[int], token: Path) -> Iterator[Head]:
    """A head on four ports; its token is written to a file."""
    gcs, dashboard, agent, client = ports
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "TF_"))}
    # A job's shebang must find this Python, as it would in the image of a cluster.
    environment["PATH"] = f"{BIN}:{os.environ['PATH']}"
    environment["PYTHONPATH"] = str(REPOSITORY)
    environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or it listens on the network too
    token.write_text(secrets.token_hex(32))
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    # Short: Ray puts Unix sockets below it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as temp:
        process = subprocess.Popen(
            [
                *(BIN / "ray", "start", "--head", "--block", "--num-cpus", "3"),
                *("--node-ip-address", "127.0.0.1", "--port", str(gcs)),
                *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1"),
                *("--dashboard-port", str(dashboard), "--temp-dir", temp, "--disable-usage-stats"),
                # The other Ray of these tests has the usual port.
                *("--dashboard-agent-listen-port", str(agent)),
                *("--ray-client-server-port", str(client)),
                *("--object-store-memory", str(200 << 20)),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        head = Head(
            server=f"http://127.0.0.1:{dashboard}",
            agent=f"http://127.0.0.1:{agent}",
            gcs=f"127.0.0.1:{gcs}",
            environment=environment,
        )
        try:
            deadline = time.monotonic() + 90
            while not _answers(head.server):
                assert process.poll() is None
                assert time.monotonic() < deadline, "the job server does not answer"
                time.sleep(0.3)
            yield head
        finally:
            # Not `ray stop`, which would stop every Ray on the machine.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/api/version", timeout=2).close()
    except urllib.error.HTTPError:
        return True  # it asks for a token, so it is there
    except OSError:
        return False
    return True
