"""The JSB chorales: 382 chorales of Bach as CSV, split 229/76/77.

Resolution and split after Boulanger-Lewandowski, Bengio and Vincent, "Modeling Temporal
Dependencies in High-Dimensional Sequences" (2012), https://arxiv.org/abs/1206.6392.
"""

import hashlib
from pathlib import Path

from rnnray.archive import extract_tar
from rnnray.download import cache_folder, download
from rnnray.errors import UserError

JSB_URL = "https://github.com/ageron/data/raw/main/jsb_chorales.tgz"
JSB_SHA256 = "e722fbc866fc1ba0bac56a6fcad95d7e3e584da80173e13932e3da441440efd7"


def jsb_folder(url: str = JSB_URL, sha256: str = JSB_SHA256) -> Path:
    """Return the folder of the unpacked archive; download and unpack it if needed.

    The folder is in `cache_folder()`; once it exists, no network is needed.

    Raises:
        UserError: the archive cannot be downloaded, unpacked or written, or is another one.
    """
    archive = cache_folder() / "jsb" / url.rpartition("/")[2]
    folder = archive.with_suffix("")
    if not folder.exists():
        download(url, archive, sha256=sha256)
        # Again, for an archive that was put there by hand.
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != sha256:
            raise UserError(
                f"{archive}: sha256 is {found}, not {sha256}; delete it and run again, or use an "
                "archive of your own with --data PATH"
            )
        extract_tar(archive, folder)
    return folder
