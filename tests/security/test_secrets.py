"""Credentials and tokens stand in no log, no message and no file of a run."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3server
from s3server import BUCKET, Server
from tiny import REPOSITORY, TINY, Ended, RunJob

SECRET = "sEcReT/+of4aTest"
URIS = [f"s3://AKID:{SECRET}@bucket/x", f"s3://bucket/x?secret_key={SECRET}"]


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
@pytest.mark.parametrize("uri", URIS)
def test_credentials_in_a_uri_are_refused_and_not_repeated(
    run_here: RunJob, tmp_path: Path, uri: str, verbose: tuple[str, ...]
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(json.dumps({"data": uri, "storage_path": str(tmp_path / "runs")}))
    for arguments in (("--data", uri), ("--storage-path", uri), ("--config", str(file))):
        ended = run_here("train_sketch", *arguments, *verbose)
        assert ended.code == 1
        assert "AWS_SECRET_ACCESS_KEY" in ended.err.splitlines()[-1]
        assert SECRET not in ended.out + ended.err
    assert not (tmp_path / "runs").exists()


Run = Callable[..., Ended]


class Logged:
    """Runs jobs that have secrets, on a Ray of their own each; and looks for them afterwards."""

    def __init__(self, server: Server, folder: Path, ray_files: Path) -> None:
        self._folder, self._ray_files = folder, ray_files
        self._server = server
        self._secrets = {
            "AWS_ACCESS_KEY_ID": "AKIA" + secrets.token_hex(8).upper(),
            "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
            "AWS_SESSION_TOKEN": secrets.token_urlsafe(60),
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
        self._ended: list[Ended] = []

    def __call__(self, job: str, *arguments: str) -> Ended:
        """Run a job with everything that can be told, told."""
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "AWS_"))}
        environment |= self._secrets | {
            "RAY_AUTH_MODE": "token",
            "RAY_TMPDIR": str(self._ray_files),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            # The server of these tests takes bodies as they are, without checksums after them.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        }
        done = subprocess.run(
            [sys.executable, f"jobs/{job}.py", *arguments, "--verbose"],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self._ended.append(Ended(done.returncode, done.stdout, done.stderr))
        return self._ended[-1]

    def check(self) -> None:
        """Raise AssertionError where a secret stands in anything that was written."""
        texts = {"stdout and stderr": "".join(each.out + each.err for each in self._ended)}
        for file in [*self._ray_files.rglob("*"), *self._folder.rglob("*")]:
            if file.is_file():
                texts[str(file)] = file.read_bytes().decode(errors="replace")
        for key, (content, about) in self._server.objects.items():
            texts[f"s3://{BUCKET}/{key}"] = content.decode(errors="replace") + str(about)
        assert sum("/logs/" in name for name in texts) > 10  # Ray's own
        found = [
            f"{name} in {where}"
            for where, text in texts.items()
            for name, secret in self._secrets.items()
            if secret in text
        ]
        assert not found


class Handler(s3server.Handler):
    """Says how many keys it lists, which pyarrow wants to know."""

    def page(self, query: dict[str, str]) -> bytes:
        page = super().page(query)
        begin = b"<ListBucketResult>"
        return page.replace(begin, begin + b"<KeyCount>%d</KeyCount>" % page.count(b"<Contents>"))


@pytest.fixture
def server() -> Iterator[Server]:
    with s3server.serve() as server:
        server.RequestHandlerClass = Handler
        yield server


@pytest.fixture
def logged(server: Server, tmp_path: Path, own_ray: Path) -> Logged:
    return Logged(server, tmp_path, own_ray)


@pytest.mark.faults
def test_no_log_of_a_generation_run_shows_its_credentials(
    logged: Logged, server: Server, tmp_path: Path
) -> None:
    import composers  # noqa: PLC0415  (imports TensorFlow)

    arguments = (
        *("--checkpoint", composers.save_checkpoint(tmp_path / "epoch-0001", "strong")),
        *("--data", composers.save_corpus(tmp_path / "corpus.parquet", [32, 32, 32])),
        *("--temperatures", "1.0", "--count", "4", "--chords", "8", "--formats", "mid"),
        *("--output", f"s3://{BUCKET}/generated"),
    )
    server.refuse = "000002.mid"
    ended = logged("generate_chorales", *arguments)
    assert "refuses access (AccessDenied)" in ended.err.splitlines()[-1], ended.err
    server.refuse = ""
    server.busy_every = 7
    ended = logged("generate_chorales", *arguments)
    assert ended.code == 0, ended.err
    assert ended.result["complete"]
    server.busy_every = 0
    server.html = True  # the endpoint of something else
    ended = logged("generate_chorales", *arguments, "--name", "other")
    assert ended.code == 1
    logged.check()


@pytest.mark.faults
def test_no_log_of_a_training_run_shows_its_credentials(
    logged: Logged, server: Server, tmp_path: Path
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(TINY | {"data": "demo:300"}))
    arguments = ("--config", str(config), "--preset", "notebook")
    where = ("--storage-path", f"s3://{BUCKET}/runs", "--name", "logged")
    ended = logged("train_sketch", *arguments, *where)
    assert ended.code == 0, ended.err
    server.refuse = "/runs/"
    ended = logged("train_sketch", *arguments, *where)
    assert ended.code == 1
    logged.check()
