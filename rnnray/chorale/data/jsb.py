"""The JSB chorales: 382 chorales of Bach as CSV, split 229/76/77.

Resolution and split after Boulanger-Lewandowski, Bengio and Vincent, "Modeling Temporal
Dependencies in High-Dimensional Sequences" (2012), https://arxiv.org/abs/1206.6392.
"""

from pathlib import Path

from rnnray.archive import fetch_tar

JSB_URL = "https://github.com/ageron/data/raw/main/jsb_chorales.tgz"
JSB_SHA256 = "e722fbc866fc1ba0bac56a6fcad95d7e3e584da80173e13932e3da441440efd7"


def jsb_folder(url: str = JSB_URL, sha256: str = JSB_SHA256) -> Path:
    """Return the folder of the unpacked archive: see `rnnray.archive.fetch_tar`."""
    return fetch_tar(url, sha256, "jsb")
