"""The trained models that come with the package, and how they are made from checkpoints.

`python -m rnnray.packaged CHECKPOINT` writes one; the README.md in its folder (`trained`) says how
the checkpoint was trained.
Imports nothing that computes, so that --help of the jobs takes no seconds.
"""

import io
import sys
import zipfile
from pathlib import Path

from rnnray import whole_file
from rnnray.errors import UserError

COMPOSER = "bach"
"""Name of the packaged composer where a path of a checkpoint is expected."""
CLASSIFIER = "quickdraw"
"""Name of the packaged sketch classifier where a path of a checkpoint is expected."""
FOLDERS = {
    COMPOSER: Path(__file__).parent / "chorale/trained",
    CLASSIFIER: Path(__file__).parent / "sketch/trained",
}
_MODEL, _WEIGHTS = "model.keras", "model.weights.h5"
_FILES = {
    COMPOSER: ("config.yaml", "position.json", "statistics.json"),
    CLASSIFIER: ("config.yaml", "position.json", "classes.txt"),
}


def located(checkpoint: str) -> str:
    """Return a checkpoint's path or URI; of a packaged one, the folder in this node's package."""
    return str(FOLDERS[checkpoint]) if checkpoint in FOLDERS else checkpoint


def package(checkpoint: Path, folder: Path | None = None) -> None:
    """Put a checkpoint into the package, with weights of 16 bits.

    Args:
        checkpoint: folder of the checkpoint.
        folder: folder to write to, by default the package's; the card and other files there stay.

    Raises:
        UserError: the checkpoint lacks a file, or its model is damaged.
    """
    name = CLASSIFIER if (checkpoint / "classes.txt").is_file() else COMPOSER
    folder = folder or FOLDERS[name]
    missing = [file for file in (_MODEL, *_FILES[name]) if not (checkpoint / file).is_file()]
    if missing:
        raise UserError(f"{checkpoint}: has no {' and no '.join(missing)}")
    model = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(checkpoint / _MODEL) as archive,
            zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED) as smaller,
        ):
            for member in archive.namelist():
                content = archive.read(member)
                # A fixed date, so that the same weights are the same file.
                smaller.writestr(
                    zipfile.ZipInfo(member), _halved(content) if member == _WEIGHTS else content
                )
    except zipfile.BadZipFile as error:
        raise UserError(f"{checkpoint / _MODEL}: damaged ({error}); use another one") from error
    for file in _FILES[name]:
        whole_file.write(folder / file, checkpoint / file)
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
        sys.stderr.write("usage: python -m rnnray.packaged CHECKPOINT\n")
        sys.exit(2)
    try:
        package(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"error: {error}")
