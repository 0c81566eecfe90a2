"""The interface of a store of artifacts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rnnray.errors import UserError


class Exists(UserError):  # noqa: N818  (the name says it)
    """A conditional put found that the key is taken."""


@dataclass(frozen=True)
class Entry:
    """A file in a store: its key, relative to the store's URI, and its size in bytes."""

    key: str
    size: int


class Store(Protocol):
    """Storage of files by key. Small: it may be pickled and sent to tasks; threads may share it.

    Keys are relative and '/'-separated. A key with `..`, an empty part, a leading '/' or characters
    that do not print is a ValueError. Every method raises UserError if the storage refuses: no
    permission, no space, no bucket, wrong credentials, or a server that does not answer.
    """

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix` or an absolute folder, without secrets and without a final slash."""

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
        """Write a file, from memory or from a local file, that appears only when it is whole.

        Args:
            key: key of the file.
            content: content of the file, or the path of a local file.
            content_type: its media type.
            metadata: texts by name, stored beside the file.
            if_absent: write only if nothing has that key.
            before_retry: called before a failed request is sent again; its exception ends the put.

        Raises:
            Exists: `if_absent`, and something has that key. Of several writers at once one wins.
        """

    def get(self, key: str) -> bytes | None:
        """Return the content, or None if there is no file."""

    def size(self, key: str) -> int | None:
        """Return the size in bytes, or None if there is no file."""

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 of the content, hexadecimal.

        None if there is no file, or if another program stored it without a SHA-256.
        """

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the files whose keys begin with the prefix, which may lack a final '/', by key."""

    def delete(self, key: str) -> None:
        """Delete the file with that key, if there is one."""

    def tidy(self) -> None:
        """Delete the remains of killed puts; call it only while nobody puts."""

    def presign(self, key: str, hours: float) -> str:
        """Return a link that lets anyone who has it read the file for `hours`."""


def check_key(key: str) -> None:
    """Refuse a key that is not relative or that leads elsewhere.

    Raises:
        ValueError: the key is refused.
    """
    if not key.isprintable() or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"not a key: {key!r}")
