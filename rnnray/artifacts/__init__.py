"""The stores that jobs publish to: object storage (`s3://bucket/prefix`) or a local folder.

These have content types, metadata, conditional puts and presigned links. Data sets and checkpoints
need none of them, and go through `rnnray.storage`.
"""

import os
from pathlib import Path

from rnnray.artifacts.local import LocalStore
from rnnray.artifacts.store import Entry, Exists, Store
from rnnray.errors import UserError

__all__ = ["Entry", "Exists", "Store", "open_store"]


def open_store(uri: str) -> Store:
    """Return the store of an `s3://bucket/prefix` or of a local folder, without reading it.

    Endpoint, region and credentials of S3 come from the standard `AWS_*` settings.

    Raises:
        UserError: another scheme, or no bucket.
    """
    if uri.startswith("s3://"):
        # boto3 takes a quarter of a second to import, which a local folder need not wait for.
        from rnnray.artifacts.s3 import S3Store  # noqa: PLC0415

        return S3Store.of(uri)
    if "://" in uri:
        raise UserError(f"{uri.partition('://')[0]}://…: use a local folder or s3://bucket/prefix")
    return LocalStore(os.path.abspath(Path(uri).expanduser()))  # noqa: PTH100  (it resolves "..")
