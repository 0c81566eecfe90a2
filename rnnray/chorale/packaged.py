"""The composer that comes with the package, and how it is made from a checkpoint.

`python -m rnnray.chorale.packaged CHECKPOINT` writes it; rnnray/chorale/trained/README.md says how
the checkpoint was trained.
Imports nothing that computes, so that --help of the jobs takes no seconds.
"""

import io
import sys
import zipfile
from pathlib import Path

from rnnray.errors import UserError

PACKAGED = "bach"
"""What stands for it where a checkpoint's path is asked for, on every node its own copy."""
FOLDER = Path(__file__).with_name("trained")
_MODEL, _WEIGHTS = "model.keras", "model.weights.h5"
_FILES = ("config.yaml", "position.json", "statistics.json")


def located(checkpoint: str) -> str:
    """The path or URI of a checkpoint: the given one, or where this process has the packaged."""
    return str(FOLDER) if checkpoint == PACKAGED else checkpoint


def package(checkpoint: Path, folder: Path = FOLDER) -> None:
    """Make a checkpoint the one of the package: the same model with weights of 16 bits.

    Args:
        checkpoint: its folder.
        folder: to write to; a composer's card and other files there stay.

    Raises:
        UserError: a file of the checkpoint is not there.
    """
    missing = [name for name in (_MODEL, *_FILES) if not (checkpoint / name).is_file()]
    if missing:
        raise UserError(f"{checkpoint}: has no {' and no '.join(missing)}")
    for name in _FILES:
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    with (
        zipfile.ZipFile(checkpoint / _MODEL) as archive,
        zipfile.ZipFile(folder / _MODEL, "w", zipfile.ZIP_DEFLATED) as smaller,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            # With a date of its own, so that the same weights are the same file.
            smaller.writestr(
                zipfile.ZipInfo(name), _halved(content) if name == _WEIGHTS else content
            )


def _halved(content: bytes) -> bytes:
    """A file of weights with 16 bits for 32; Keras loads them into variables of 32."""
    import h5py  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    result = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as old, h5py.File(result, "w") as new:

        def copy(path: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                array = item[()]
                small = array.astype(np.float16) if array.dtype == np.float32 else array
                made = new.create_dataset(path, data=small)
            else:
                made = new.require_group(path)
            made.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    return result.getvalue()


if __name__ == "__main__":
    try:
        package(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(str(error))
