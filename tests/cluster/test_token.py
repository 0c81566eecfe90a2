"""A head with token authentication lets in who has its token, and nobody else."""

import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from job_server import Head

DRIVER = """
import ray
from rnnray import cluster
cluster.connect()
print("let in", ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


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
    submit = head.submission("--", "touch", ran)
    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    for process in [started(submit, head.with_token(file), tmp_path) for file in (None, wrong)]:
        code, out, err = ended(process)
        assert code != 0
        assert "uthentication" in err, err
        assert token not in out + err
    assert not ran.exists()
    done = head.submit("--", "touch", ran, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran.exists()
    assert token not in done.stdout + done.stderr


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
        assert "cannot connect to a Ray cluster at RAY_ADDRESS=" in err, err
