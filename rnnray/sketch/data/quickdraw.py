"""The archive of Google's recurrent-network tutorial: Quick, Draw! sketches as TFRecords."""

from pathlib import Path

from rnnray.archive import extract_tar
from rnnray.download import cache_folder, download, say
from rnnray.errors import UserError

# About 1 GB; 3,450,000 training and 345,000 evaluation drawings. Nobody publishes its size or
# digest: `download` trusts the server's.
TUTORIAL_URL = "http://download.tensorflow.org/data/quickdraw_tutorial_dataset_v1.tar.gz"

_FILES = ("training.tfrecord-*", "eval.tfrecord-*", "*.tfrecord.classes")


def tutorial_folder(url: str = TUTORIAL_URL) -> Path:
    """Return the folder of the tutorial's unpacked archive; download and unpack it if needed.

    The folder is in `cache_folder()`; once it exists, no network is needed. It has the shards
    `training.tfrecord-*` and `eval.tfrecord-*` and the class names in `*.tfrecord.classes`, as in
    https://github.com/tensorflow/docs/blob/r1.13/site/en/tutorials/sequences/recurrent_quickdraw.md.
    Data: Google's Quick, Draw!, CC BY 4.0.

    Raises:
        UserError: the archive cannot be downloaded, unpacked or written, or lacks these files.
    """
    archive = cache_folder() / "quickdraw" / url.rpartition("/")[2]
    folder = archive.with_name(archive.name.removesuffix(".gz").removesuffix(".tar"))
    if not folder.exists():
        download(url, archive)
        say(f"unpacking {archive} to {folder}")
        extract_tar(archive, folder)
    missing = [pattern for pattern in _FILES if not any(folder.glob(pattern))]
    if missing:
        raise UserError(
            f"{folder}: has no {' and no '.join(missing)}; delete the folder and {archive} and run "
            "again, or pass --data PATH"
        )
    return folder
