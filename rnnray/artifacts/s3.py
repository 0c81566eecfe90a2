"""Artifacts in S3, or in any service with its protocol."""

import hashlib
import io
import re
import string
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from botocore import exceptions as aws

from rnnray.artifacts import s3_links
from rnnray.artifacts.s3_requests import FAILURES, client, error_code, no_bucket, refusal, request
from rnnray.artifacts.store import Entry, Exists, check_key
from rnnray.errors import UserError

_PART = 16 * 2**20  # bytes; above this an object is sent in parts
_PAGE = 1000  # keys; the most that S3 lists at once
_LONGEST_LINK = 7 * 24  # hours; S3's limit
# If the answer to a conditional put is lost, its retry finds the put's own object, and knows it by
# this.
_TOKEN = "put"
_SHA256 = "sha256"  # ETags and S3's own checksums depend on how an object was sent


@dataclass(frozen=True)
class S3Store:
    """A bucket, or everything below a prefix in it. See `rnnray.artifacts.Store`.

    Metadata may have any characters; those that S3 refuses are percent-encoded. The metadata of
    every object include the SHA-256 of its content.
    """

    uri: str

    @classmethod
    def of(cls, uri: str) -> Self:
        """Return the store of an `s3://bucket/prefix`.

        Raises:
            UserError: the URI has more than that, or less. The message does not repeat the URI,
                because other programs accept credentials in it.
        """
        bucket, _, prefix = uri.removeprefix("s3://").rstrip("/").partition("/")
        try:
            if prefix:
                check_key(prefix)
        except ValueError:
            bucket = ""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket) or set(prefix) & {*"?#"}:
            raise UserError(
                "s3://…: must be s3://bucket/prefix and nothing else; endpoint and credentials "
                "come from AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return cls(f"s3://{bucket}/{prefix}".rstrip("/"))

    def put(
        self,
        key: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] = {},
        if_absent: bool = False,
        before_retry: Callable[[], object] = lambda: None,
    ) -> None:
        """See `Store`. Sends more than 16 MiB in parts, and retries each part by itself."""
        check_key(key)
        about = {name: _ascii(value) for name, value in metadata.items()}
        describe: dict[str, Any] = {
            "ContentType": content_type,
            "Metadata": about | {_SHA256: _digest(content)},
        }
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        token = uuid.uuid4().hex
        send = partial(self._ask, before_retry=before_retry)
        if if_absent or size > _PART:
            describe["Metadata"][_TOKEN] = token
        try:
            if size <= _PART:
                body = content.read_bytes() if isinstance(content, Path) else content
                send("put_object", key, (404, 412), Body=body, **describe, **condition)
            elif if_absent and self._head(key) is not None:
                raise Exists(f"{self.uri}/{key}: exists already")  # before it is sent in vain
            else:
                self._put_parts(key, content, describe, condition, send)
        except aws.ClientError as error:
            there = self._head(key)
            if there is not None and there["Metadata"].get(_TOKEN) == token:
                return  # it had arrived; only the answer was lost
            if if_absent and there is not None:
                raise Exists(f"{self.uri}/{key}: exists already") from None
            raise refusal(self.uri, error) from None

    def get(self, key: str) -> bytes | None:
        """See `Store`."""
        check_key(key)
        try:
            content: bytes = self._ask("get_object", key, (404,))["Body"]
        except aws.ClientError as error:
            if error_code(error) != "NoSuchKey":
                self._need_bucket()
            return None
        return content

    def size(self, key: str) -> int | None:
        """See `Store`."""
        check_key(key)
        there = self._head(key)
        return None if there is None else int(there["ContentLength"])

    def sha256(self, key: str) -> str | None:
        """See `Store`; asks only for the object's metadata."""
        check_key(key)
        there = self._head(key)
        return None if there is None else there["Metadata"].get(_SHA256)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        return self._pages(prefix)

    def delete(self, key: str) -> None:
        """See `Store`."""
        check_key(key)
        try:
            self._ask("delete_object", key, (404,))
        except aws.ClientError as error:
            if error_code(error) != "NoSuchKey":
                self._need_bucket()

    def tidy(self) -> None:
        """See `Store`: does nothing.

        A rule of the bucket should delete the parts of killed uploads. Listing them needs a
        permission that a program which only reads and writes need not have.
        """

    def presign(self, key: str, hours: float) -> str:
        """See `Store`. Like every presigned link, it shows the access key id, and never the secret.

        Raises:
            UserError: more than the seven days that S3 allows, or no time at all. A link signed
                with temporary credentials expires when they do, whatever `hours` says.
        """
        check_key(key)
        if not 0 < hours <= _LONGEST_LINK:
            raise UserError(f"links can be valid for up to {_LONGEST_LINK} hours, not {hours:g}")
        seconds = max(1, round(hours * 3600))
        return s3_links.presign(self.uri, self._bucket, self._prefix + key, seconds)

    @property
    def _bucket(self) -> str:
        return self.uri.removeprefix("s3://").partition("/")[0]

    @property
    def _prefix(self) -> str:
        prefix = self.uri.removeprefix("s3://").partition("/")[2]
        return f"{prefix}/" if prefix else ""

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            return self._ask("head_object", key, (404,))
        except aws.ClientError:
            self._need_bucket()  # the answer to HEAD does not say what is missing
            return None

    def _need_bucket(self) -> None:
        try:
            self._ask("head_bucket", None, (404,))
        except aws.ClientError:
            raise no_bucket(self.uri) from None

    def _pages(self, prefix: str) -> Iterator[Entry]:
        page: dict[str, Any] = {"Prefix": self._prefix + prefix, "MaxKeys": _PAGE}
        while True:
            answer = self._ask("list_objects_v2", None, **page)
            for each in answer.get("Contents", ()):
                key = each["Key"].removeprefix(self._prefix)
                if key and not key.endswith("/"):  # "folders" of other programs
                    yield Entry(key, each["Size"])
            if not answer.get("IsTruncated"):
                return
            page["ContinuationToken"] = answer["NextContinuationToken"]

    def _put_parts(
        self,
        key: str,
        content: bytes | Path,
        describe: dict[str, Any],
        condition: dict[str, Any],
        send: Callable[..., dict[str, Any]],
    ) -> None:
        # boto3's own transfer has no conditional puts.
        checksum: dict[str, Any] = {}
        if client().meta.config.request_checksum_calculation == "when_supported":
            checksum = {"ChecksumAlgorithm": "CRC32"}
        upload = send("create_multipart_upload", key, **describe, **checksum)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
                while body := stream.read(_PART):
                    number: dict[str, Any] = {"PartNumber": len(parts) + 1}
                    sent = send(
                        "upload_part", key, UploadId=upload, Body=body, **number, **checksum
                    )
                    kept = {name: sent[name] for name in ("ETag", "ChecksumCRC32") if name in sent}
                    parts.append(number | kept)
            send(
                "complete_multipart_upload",
                key,
                (404, 412),
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **condition,
            )
        except BaseException:
            with suppress(*FAILURES):
                client().abort_multipart_upload(
                    Bucket=self._bucket, Key=self._prefix + key, UploadId=upload
                )
            raise

    def _ask(
        self,
        call: str,
        key: str | None,
        expected: tuple[int, ...] = (),
        *,
        before_retry: Callable[[], object] = lambda: None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a request until it is answered; see `Store.put` for `before_retry`.

        Raises:
            ClientError: the answer is one of the expected HTTP statuses.
        """
        target = {"Bucket": self._bucket} | ({"Key": self._prefix + key} if key else {})

        failed = False

        def attempt(s3: Any) -> dict[str, Any]:
            nonlocal failed
            if failed:
                before_retry()
            failed = True  # after a success nobody reads this
            answer: dict[str, Any] = getattr(s3, call)(**target, **arguments)
            if call == "get_object":
                answer["Body"] = answer["Body"].read()
            return answer

        return request(self.uri, attempt, expected)


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ascii(text: str) -> str:
    return quote(text, safe=string.punctuation.replace("%", "") + " ")
