"""What the tests of batch generation under faults watch: a run's files, and its process."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import boto3
from object_store import ObjectStore
from observed import contents
from tiny import Ended

Process = subprocess.Popen[str]
T = TypeVar("T")


def is_kept(key: str) -> bool:
    """Whether a run that goes on must leave a file alone; the page is written again."""
    return key.startswith(("temperature=", "bach/", "manifest/")) and not key.endswith(".part")


class Folder:
    """What a run has in a local folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamps(self) -> dict[str, Any]:
        """Of the files that are to be left alone: what changes when they are written again."""
        found = {}
        for path in self.path.rglob("*"):
            key = str(path.relative_to(self.path))
            if is_kept(key) and path.is_file():
                status = path.stat()
                found[key] = (status.st_mtime_ns, status.st_ino)
        return found

    def contents(self) -> dict[str, bytes]:
        """All files of a run, by key."""
        return contents(self.path)

    def get(self, key: str) -> bytes | None:
        """One of them; None: it is not there."""
        try:
            return (self.path / key).read_bytes()
        except FileNotFoundError:
            return None


class Bucket:
    """What a run has in the object store."""

    def __init__(self, settings: ObjectStore, prefix: str) -> None:
        self._bucket, self._prefix = settings.bucket, prefix
        self._s3 = boto3.client(
            "s3",
            endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
            region_name=settings["AWS_DEFAULT_REGION"],
        )

    def _listed(self) -> dict[str, dict[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        return {
            entry["Key"].removeprefix(self._prefix): entry
            for page in pages
            for entry in page.get("Contents", ())
        }

    def stamps(self) -> dict[str, Any]:
        """See `Folder`."""
        return {key: entry["LastModified"] for key, entry in self._listed().items() if is_kept(key)}

    def contents(self) -> dict[str, bytes]:
        """See `Folder`."""
        return {key: self._read(key) for key in self._listed()}

    def get(self, key: str) -> bytes | None:
        """See `Folder`."""
        try:
            return self._read(key)
        except self._s3.exceptions.NoSuchKey:
            return None

    def _read(self, key: str) -> bytes:
        answer = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
        return bytes(answer["Body"].read())


def owns(process: Process, store: Folder | Bucket) -> bool:
    """Whether the process holds a run's lock."""
    lock = store.get("lock.json")
    return lock is not None and bool(json.loads(lock)["pid"] == process.pid)


def settled(look: Callable[[], T]) -> T:
    """What is there once it no longer changes: tasks end a moment after their driver."""
    deadline = time.monotonic() + 60
    before = look()
    while True:
        time.sleep(0.5)
        now = look()
        if now == before:
            return now
        assert time.monotonic() < deadline
        before = now


def end(process: Process) -> Ended:
    """Wait for a process."""
    out, err = process.communicate(timeout=300)
    return Ended(process.returncode, out, err)
