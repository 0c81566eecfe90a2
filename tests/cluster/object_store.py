"""A real S3 server for the tests: OpenStack Swift, by cluster/objectstore/swift.sh."""

import os
import shlex
import subprocess
from pathlib import Path

import boto3
from tiny import REPOSITORY

_SCRIPT = REPOSITORY / "cluster" / "objectstore" / "swift.sh"


class ObjectStore(dict[str, str]):
    """The settings (`AWS_*`) that a program needs to use it; it can be stopped and started."""

    bucket = "tests"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__()
        self.folder = folder
        self._port = port

    def start(self) -> None:
        """Serve what is in the folder; returns when it answers."""
        out = _run("start", str(self.folder), str(self._port))
        assignments = [word for word in shlex.split(out) if word != "export"]
        self.update(assignment.split("=", 1) for assignment in assignments)

    def create_bucket(self) -> None:
        """Make the bucket that `uri` is in."""
        boto3.client(
            "s3",
            endpoint_url=self["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=self["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self["AWS_SECRET_ACCESS_KEY"],
            region_name=self["AWS_DEFAULT_REGION"],
        ).create_bucket(Bucket=self.bucket)

    def stop(self) -> None:
        """End the server; the data stay."""
        _run("stop", str(self.folder))

    def uri(self, *parts: str) -> str:
        """The URI of something in the bucket."""
        return "/".join([f"s3://{self.bucket}", *parts])


def _run(*arguments: str) -> str:
    # Its own environment: what this process has for Python or pip is not Swift's.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(
        [_SCRIPT, *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
