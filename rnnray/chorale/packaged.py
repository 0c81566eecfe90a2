"""The composer that comes with the package, and how it is made from a checkpoint.

`python -m rnnray.chorale.packaged CHECKPOINT` writes it; rnnray/chorale/trained/README.md says how
the checkpoint was trained.
Imports nothing that computes, so that --help of the jobs takes no seconds.
"""

import io
import sys
import zipfile
from pathlib import Path

from rnnray import whole_file
from rnnray.errors import UserError

PACKAGED = "bach"
"""Name of the packaged composer where a path of a checkpoint is expected."""
FOLDER = Path(__file__).with_name("trained")
_MODEL, _WEIGHTS = "model.keras", "model.weights.h5"
_FILES = ("config.yaml", "position.json", "statistics.json")


def located(checkpoint: str) -> str:
    """Return a checkpoint's path or URI; of `PACKAGED`, the folder of this node's package."""
    return str(FOLDER) if checkpoint == PACKAGED else checkpoint


def package(checkpoint: Path, folder: Path = FOLDER) -> None:
    """Put a checkpoint into the package, with weights of 16 bits.

    Args:
        checkpoint: folder of the checkpoint.
        folder: folder to write to; the card and other files there stay.

    Raises:
        UserError: the checkpoint lacks a file, or its model is damaged.
    """
    missing = [name for name in (_MODEL, *_FILES) if not (checkpoint / name).is_file()]
    if missing:
        raise UserError(f"{checkpoint}: has no {' and no '.join(missing)}")
    model = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(checkpoint / _MODEL) as archive,
            zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED) as smaller,
        ):
            for name in archive.namelist():
                content = archive.read(name)
                # A fixed date, so that the same weights are the same file.
                smaller.writestr(
                    zipfile.ZipInfo(name), _halved(content) if name == _WEIGHTS else content
                )
    except zipfile.BadZipFile as error:
        raise UserError(f"{checkpoint / _MODEL}: damaged ({error}); use another one") from error
    for name in _FILES:
        whole_file.write(folder / name, checkpoint / name)
    whole_file.write(folder / _MODEL, model.getvalue())


def _halved(content: bytes) -> bytes:
    """Return a file of weights with 16 bits instead of 32; Keras loads them as 32 bits."""
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
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m rnnray.chorale.packaged CHECKPOINT\n")
        sys.exit(2)
    try:
        package(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"error: {error}")
