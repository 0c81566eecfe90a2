"""What a store of artifacts can do."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rnnray.errors import UserError


class Exists(UserError):  # noqa: N818  (the name says it)
    """A conditional put found something there."""


@dataclass(frozen=True)
class Entry:
    """Something in a store: its key, relative to the store's URI, and its size in bytes."""

    key: str
    size: int


class Store(Protocol):
    """A place for files. Small: it may be pickled and sent to tasks; threads may share it.

    Keys are relative and '/'-separated; one with `..`, an empty part, a leading '/' or characters
    that do not print is a ValueError. Every method raises UserError where the storage refuses:
    no right, no space, no bucket, wrong credentials, or a server that stays away.
    """

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix` or an absolute folder; no secrets, no slash at its end."""

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
        """Write a file, from memory or from a local file, that appears when it is whole.

        Args:
            key: of the file.
            content: of the file, or the path of a local file.
            content_type: its media type.
            metadata: what is stored beside it.
            if_absent: write only where nothing has that key.
            before_retry: called before a request that failed is sent again; what it raises ends
                the put.

        Raises:
            Exists: `if_absent`, and something has that key. Of several that put at once one wins.
        """

    def get(self, key: str) -> bytes | None:
        """The content, or None where there is nothing."""

    def size(self, key: str) -> int | None:
        """The size in bytes, or None where there is nothing."""

    def sha256(self, key: str) -> str | None:
        """The SHA-256 of the content, hexadecimal; None where there is nothing, or what another
        program put there without one.
        """

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """What is there, sorted by key, as it is read; the prefix need not end at a '/'."""

    def delete(self, key: str) -> None:
        """Delete what has that key, if anything does."""

    def tidy(self) -> None:
        """Delete what puts that were killed left behind; for when nobody puts."""

    def presign(self, key: str, hours: float) -> str:
        """A link that lets whoever has it read the file for so long."""


def check_key(key: str) -> None:
    """Refuse a key that is not relative or that leads elsewhere.

    Raises:
        ValueError: it is so.
    """
    if not key.isprintable() or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"not a key: {key!r}")
