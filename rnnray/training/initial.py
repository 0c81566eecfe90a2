"""Weights of another run that a new one begins with: what fits is taken, what does not is named."""

import io
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from rnnray import storage
from rnnray.errors import UserError
from rnnray.training import checkpoints
from rnnray.training.task import Task

_CLASSES = "classes.txt"  # of the tasks whose outputs have names: one a line
_WEIGHTS = "model.weights.h5"  # in a `.keras` file
_LARGEST = 4 << 30  # bytes of weights
_FEW = 5  # weights that are named; the rest is counted

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Initial:
    """The weights of a checkpoint, by their paths in Keras's file of weights, and the names of its
    outputs. Small enough to be sent to every worker.
    """

    uri: str
    weights: Mapping[str, Array]
    class_names: tuple[str, ...]

    def load_into(self, model: Any, files: Mapping[str, str]) -> str:
        """Give a new model all weights of the same path and shape; what it says of it.

        Outputs that have names are taken by name, whatever their order.

        Args:
            model: a Keras model with fresh weights.
            files: `Task.checkpoint_files` of its task.

        Raises:
            UserError: nothing fits.
        """
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "new.weights.h5"
            model.save_weights(file)
            with h5py.File(file, "r+") as opened:
                fresh = _arrays(opened)
                taken = self._fitting(fresh, _output_paths(model, fresh), _names(files))
                for path, array in taken.items():
                    opened[path][...] = array
            if not any(array.size for array in taken.values()):
                raise UserError(
                    f"--init-from {self.uri}: none of its weights fits this model; take the "
                    "configuration of the run that made it"
                )
            model.load_weights(file)
        return self._report(fresh, taken, _names(files))

    def _fitting(
        self, fresh: Mapping[str, Array], outputs: set[str], class_names: tuple[str, ...]
    ) -> dict[str, Array]:
        """What a new model's weights become, by path; those that stay fresh are left out."""
        taken = {}
        for path, array in fresh.items():
            theirs = self.weights.get(path)
            if theirs is None:
                continue
            if path in outputs and class_names != self.class_names:
                pairs = self._same_classes(class_names)
                if theirs.shape[:-1] == array.shape[:-1] and pairs:
                    ours, others = map(list, zip(*pairs, strict=True))
                    taken[path] = array.copy()
                    taken[path][..., ours] = theirs[..., others]
            elif theirs.shape == array.shape:
                taken[path] = theirs
        return taken

    def _same_classes(self, class_names: tuple[str, ...]) -> list[tuple[int, int]]:
        """Our and their number of each class that both have."""
        theirs = {name: number for number, name in enumerate(self.class_names)}
        return [(n, theirs[name]) for n, name in enumerate(class_names) if name in theirs]

    def _report(
        self, fresh: Mapping[str, Array], taken: Mapping[str, Array], class_names: tuple[str, ...]
    ) -> str:
        words = f"begins with {len(taken)} of {len(fresh)} arrays of weights of {self.uri}"
        if class_names != self.class_names:
            same = len(self._same_classes(class_names))
            words += f"; outputs of {same} of {len(class_names)} classes, by their names"
        left = [
            f"{path} ({'not there' if path not in self.weights else _shape(self.weights[path])}, "
            f"{_shape(fresh[path])} here)"
            for path in fresh
            if path not in taken
        ]
        if left:
            rest = len(left) - _FEW
            more = f" and {rest} more" if rest > 0 else ""
            words += f"; begins anew: {', '.join(left[:_FEW])}{more}"
        unused = len(self.weights.keys() - fresh.keys())
        return words + (f"; {unused} of the checkpoint's have no place here" if unused else "")


def read_initial(uri: str, task: Task) -> Initial:
    """The weights of a checkpoint.

    Args:
        uri: path or URI of the checkpoint's folder.
        task: what will be trained.

    Raises:
        UserError: the folder is no checkpoint of such a task.
    """
    # The task's other files may be of a later version than the checkpoint.
    names = [checkpoints.MODEL, *({_CLASSES} & task.checkpoint_files().keys())]
    contents = {name: storage.read_bytes(storage.join(uri, name)) for name in names}
    missing = [name for name, content in contents.items() if content is None]
    if missing:
        raise UserError(
            f"--init-from {uri}: not a checkpoint of this model, it has no "
            f"{' and no '.join(missing)}; checkpoints are the folders named "
            "epoch-* below --storage-path/--name"
        )
    files = {name: (contents[name] or b"").decode(errors="replace") for name in names[1:]}
    try:
        with zipfile.ZipFile(io.BytesIO(contents[checkpoints.MODEL] or b"")) as archive:
            if archive.getinfo(_WEIGHTS).file_size > _LARGEST:
                raise ValueError(f"{_WEIGHTS} is larger than {_LARGEST >> 30} GiB")
            with h5py.File(io.BytesIO(archive.read(_WEIGHTS)), "r") as opened:
                return Initial(uri, _arrays(opened), _names(files))
    except checkpoints.NOT_OURS as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{uri}/{checkpoints.MODEL}: cannot be loaded ({line})") from error


def _arrays(opened: Any) -> dict[str, Array]:
    """The numeric arrays of a file of weights, by path; those of seeds are no weights."""
    found: dict[str, Array] = {}

    def visit(path: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
            return
        if item.external or item.is_virtual or item.nbytes > _LARGEST:
            raise ValueError(f"{path} is no array of weights")
        found[path] = item[()]

    opened.visititems(visit)
    return found


def _output_paths(model: Any, fresh: Mapping[str, Array]) -> set[str]:
    """The paths of the last layer's weights: of the logits, in a model whose outputs have names."""
    layers = [layer for layer in model.layers if layer.weights]
    last = [np.asarray(weight) for weight in layers[-1].weights] if layers else []
    count = last[-1].shape[-1] if last else 0
    folders = {
        path.rpartition("/")[0]
        for path, array in fresh.items()
        if any(array.shape == w.shape and w.ndim > 1 and np.array_equal(array, w) for w in last)
    }
    return {p for p, a in fresh.items() if p.rpartition("/")[0] in folders and a.shape[-1] == count}


def _names(files: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(files.get(_CLASSES, "").split("\n")[:-1])


def _shape(array: Array) -> str:
    return "x".join(map(str, array.shape)) or "1"
