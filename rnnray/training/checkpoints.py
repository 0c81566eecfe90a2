"""Checkpoints: a folder that stands alone, to go on from, to use, or to begin a new run with.

    model.keras      the model; for Keras alone, first import the module that its error names
    optimizer.npz    the optimizer's variables, in its own order
    position.json    the run's position: epoch, step, sums of the epoch so far, history
    README.md        the model card, if the task has one, with the metrics of the last epoch
    config.yaml ...  the task's own files (`Task.checkpoint_files`)

Nothing in it is pickled, and loading runs no code from it.
"""

import dataclasses
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from rnnray import storage
from rnnray.errors import UserError
from rnnray.packaged import located
from rnnray.training import model_card
from rnnray.training.faults.divergence import not_finite
from rnnray.training.task import Task

MODEL, OPTIMIZER, POSITION = "model.keras", "optimizer.npz", "position.json"
CLASSES = "classes.txt"  # of the tasks whose outputs have names: one a line

# What Keras and NumPy raise for damaged files and for files that other programs made.
NOT_OURS = (
    *(ValueError, TypeError, OSError, KeyError, AttributeError, ImportError, RecursionError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass
class Position:
    """Progress of a run."""

    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps of the next epoch that are done."""
    sums: list[float] = field(default_factory=list)
    """Sums of rows, loss and metrics over those steps."""
    skipped: int = 0
    """Steps among them that were skipped, since their loss or gradient was not finite."""
    dropout_masks: list[int] = field(default_factory=list)
    """Masks that each dropout layer has drawn in those steps."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The metrics of each epoch that is done."""


def save(
    folder: Path, model: Any, optimizer: Any, position: Position, files: Mapping[str, str]
) -> None:
    """Write a checkpoint into an empty folder.

    Args:
        folder: the folder.
        model: the model.
        optimizer: its optimizer.
        position: progress of the run.
        files: texts by name that the task adds; a model card gets the metrics of `position`.

    Raises:
        UserError: a weight or a variable of the optimizer is not finite.
    """
    name = not_finite([*model.variables, *optimizer.variables])
    if name is not None:
        raise UserError(f"{name} is not finite: such a checkpoint is not written")
    model.save(folder / MODEL)
    arrays = {f"{index:04d}": np.asarray(v) for index, v in enumerate(optimizer.variables)}
    np.savez(folder / OPTIMIZER, **arrays)  # type: ignore[arg-type]
    card = files.get(model_card.FILE)
    if card is not None:
        last = position.history[-1] if position.history else {}
        card = model_card.with_metrics(card, position.epoch, position.step, last)
        files = {**files, model_card.FILE: card}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / POSITION).write_text(json.dumps(dataclasses.asdict(position), indent=1))


def restore(folder: Path, model: Any, optimizer: Any) -> None:
    """Load a checkpoint into a model and an optimizer that were built like the saved ones.

    Args:
        folder: folder of the checkpoint.
        model: gets the weights.
        optimizer: gets all its variables but the learning rate.

    Raises:
        UserError: the folder is not such a checkpoint.
    """
    check(folder)
    file = folder / MODEL
    try:
        model.load_weights(file)
        file = folder / OPTIMIZER
        with np.load(file, allow_pickle=False) as arrays:
            for variable, name in zip(optimizer.variables, sorted(arrays), strict=True):
                # The configuration decides it: population based training changes it on the way.
                if variable.name != "learning_rate":
                    variable.assign(arrays[name])
    except NOT_OURS as error:
        raise _cannot_be_loaded(file, error) from error


def read_position(folder: Path) -> Position:
    """Return the position of a checkpoint's run.

    Raises:
        UserError: its file is not one that `save` wrote.
    """
    file = folder / POSITION
    try:
        return position_from(file.read_bytes())
    except NOT_OURS as error:
        raise _cannot_be_loaded(file, error) from error


def position_from(content: bytes) -> Position:
    """Return the position that a file's content says.

    Raises:
        ValueError: the content is no JSON.
        TypeError: the JSON is no position.
    """
    position = Position(**json.loads(content))
    for name, value in dataclasses.asdict(Position()).items():
        if type(getattr(position, name)) is not type(value):
            raise TypeError(f"{name} is not {type(value).__name__}")
    return position


def check(folder: Path) -> None:
    """Raise `UserError` unless the folder looks like a checkpoint."""
    if not folder.exists():
        raise UserError(f"{folder}: no such checkpoint folder")
    missing = [name for name in (MODEL, POSITION) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: not a checkpoint of rnnray, it has no {' and no '.join(missing)}"
        )


def load_model(folder: Path) -> Any:
    """Load the Keras model of a checkpoint, in Keras's safe mode.

    Raises:
        UserError: the folder is not a checkpoint, its model cannot be loaded, or it diverged.
    """
    import keras  # noqa: PLC0415

    check(folder)
    try:
        model = keras.saving.load_model(folder / MODEL, compile=False)
    except NOT_OURS as error:
        raise _cannot_be_loaded(folder / MODEL, error) from error
    name = not_finite(model.variables)
    if name is not None:
        raise UserError(
            f"{folder / MODEL}: its training diverged ({name} is not finite); "
            "take an earlier checkpoint"
        )
    return model


def fetch_model(checkpoint: str) -> Any:
    """Load the Keras model of a checkpoint by its path, URI or packaged name; see `load_model`."""
    with tempfile.TemporaryDirectory() as temporary:
        return load_model(storage.fetch_folder(located(checkpoint), Path(temporary)))


def _cannot_be_loaded(file: Path, error: BaseException) -> UserError:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"{file}: cannot be loaded ({text[0][:300]})")


_WEIGHTS = "model.weights.h5"  # in a `.keras` file
_LARGEST = 4 << 30  # bytes of weights
_FEW = 5  # weights that a message names; it counts the rest

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Initial:
    """The weights of a checkpoint by path in Keras's file of weights, and its outputs' names.

    Small enough to be sent to every worker.
    """

    uri: str
    weights: Mapping[str, Array]
    class_names: tuple[str, ...]

    def load_into(self, model: Any, files: Mapping[str, str]) -> str:
        """Give a new model all weights of the same path and shape; return a line about them.

        Outputs that have names are matched by name, whatever their order.

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
                    f"init_from {self.uri}: none of its weights fits this model; take the "
                    "configuration of the run that made it"
                )
            model.load_weights(file)
        return self._report(fresh, taken, _names(files))

    def _fitting(
        self, fresh: Mapping[str, Array], outputs: set[str], class_names: tuple[str, ...]
    ) -> dict[str, Array]:
        """Return the weights that a new model takes, by path; its others stay fresh."""
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
        """Return our and their index of each class that both have."""
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
            words += f"; starts untrained: {', '.join(left[:_FEW])}{more}"
        unused = len(self.weights.keys() - fresh.keys())
        return words + (f"; {unused} of the checkpoint's are not used" if unused else "")


def read_initial(uri: str, task: Task) -> Initial:
    """The weights of a checkpoint.

    Args:
        uri: path or URI of the checkpoint's folder, or the name of a packaged one.
        task: the problem to train on.

    Raises:
        UserError: the folder is no checkpoint of such a task.
    """
    # The task's other files may be of a later version than the checkpoint.
    names = [MODEL, *({CLASSES} & task.checkpoint_files().keys())]
    folder = located(uri)
    contents = {name: storage.read_bytes(storage.join(folder, name)) for name in names}
    missing = [name for name, content in contents.items() if content is None]
    if missing:
        raise UserError(
            f"init_from {uri}: not a checkpoint of this model, it has no "
            f"{' and no '.join(missing)}; checkpoints are the folders named "
            "epoch-* in a run's folder"
        )
    files = {name: (contents[name] or b"").decode(errors="replace") for name in names[1:]}
    try:
        with zipfile.ZipFile(io.BytesIO(contents[MODEL] or b"")) as archive:
            if archive.getinfo(_WEIGHTS).file_size > _LARGEST:
                raise ValueError(f"{_WEIGHTS} is larger than {_LARGEST >> 30} GiB")
            with h5py.File(io.BytesIO(archive.read(_WEIGHTS)), "r") as opened:
                return Initial(uri, _arrays(opened), _names(files))
    except NOT_OURS as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{uri}/{MODEL}: cannot be loaded ({line})") from error


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
    return tuple(files.get(CLASSES, "").split("\n")[:-1])


def _shape(array: Array) -> str:
    return "x".join(map(str, array.shape)) or "1"
