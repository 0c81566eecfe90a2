"""The checkpoints of a run that stay in storage, and the newest that is not damaged.

Ray Train lists a run's checkpoints in a file of the run's folder, and goes on from the one that the
list names as the latest. It would keep the best ones and the last one. Here the best one and the
last two stay, so that a damaged one has another before it.
"""

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pyarrow import fs
from ray.train import UserCallback

from rnnray import storage
from rnnray.errors import UserError
from rnnray.events import Tell
from rnnray.ray_private import CHECKPOINT_LIST, reads_checkpoint_list
from rnnray.training import checkpoints
from rnnray.training.faults.patient_files import PatientFiles, retry_storage

# What damaged files raise, and files that other programs made. Not OSError: that is tried again.
_NOT_WHOLE = (
    *(ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
_LAST = 2  # checkpoints that stay beside the best one
Handle = Callable[[dict[str, Any]], None]


class KeepBestAndLast(UserCallback):  # type: ignore[misc]
    """Deletes a run's other checkpoints when there is a new one; runs in Ray Train's controller.

    Args:
        folder: path or URI of the run's folder.
        metric: the selection metric, and which end of it is better.
        tell: takes events of storage that refuses.
    """

    def __init__(
        self, folder: str, metric: tuple[str, Literal["max", "min"]], tell: Tell | Handle
    ) -> None:
        self._folder, self._metric, self._tell = folder, metric, tell

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        """Take a report, after Ray Train has listed its checkpoint if it has one."""
        if checkpoint is not None:
            retry_storage(self._folder, self.delete_others, self._tell)

    def delete_others(self) -> None:
        """Delete the listed checkpoints except the best one and the last two."""
        files, path = storage.open_uri(self._folder)
        listed = _read_list(files, path)
        if listed is None:
            return
        kept = {entry["checkpoint_dir_name"] for entry in listed.entries[-_LAST:]}
        name, direction = self._metric
        scored = [entry for entry in listed.entries if name in entry["metrics"]]
        if scored:
            sign = 1 if direction == "max" else -1
            # Of equal ones the last, as Ray Train has it.
            best = max(reversed(scored), key=lambda entry: sign * entry["metrics"][name])
            kept.add(best["checkpoint_dir_name"])
        there = files.get_file_info(fs.FileSelector(path))
        for entry in listed.entries:
            folder = entry["checkpoint_dir_name"]
            if folder not in kept and any(info.base_name == folder for info in there):
                files.delete_dir(f"{path}/{folder}")


def fall_back(folder: str, handle: Handle) -> None:
    """Make the newest whole checkpoint of a run the one that Ray Train goes on from.

    The list loses those after it, whose folders stay, and those that `KeepBestAndLast` deleted,
    which Ray Train would look for.

    Args:
        folder: path or URI of the run's folder.
        handle: takes an event {"kind": "fell_back"} for each checkpoint that is not whole.

    Raises:
        UserError: there are checkpoints and none is whole, their list cannot be read, or the
            storage has refused for minutes.
    """
    files, path = storage.open_uri(folder)
    listed = retry_storage(folder, partial(_read_list, files, path), handle)
    if listed is None or not listed.entries:
        return
    newest_first = [entry["checkpoint_dir_name"] for entry in reversed(listed.entries)]
    damages = []
    for name in newest_first:
        damage = retry_storage(folder, partial(damage_of, files, f"{path}/{name}"), handle)
        if damage is None:
            break
        damages.append((name, damage))
    else:
        told = "; ".join(f"{name}: {damage}" for name, damage in damages[:_LAST])
        raise UserError(
            f"{folder}: none of its checkpoints is whole ({told}); start over under another name"
        )
    whole = newest_first[len(damages)]
    for name, damage in damages:
        handle({"kind": "fell_back", "checkpoint": name, "reason": damage, "to": whole})
    lost = {name for name, _ in damages}
    there = retry_storage(folder, partial(files.get_file_info, fs.FileSelector(path)), handle)
    lost |= set(newest_first) - {info.base_name for info in there}
    if lost:
        patient = fs.PyFileSystem(PatientFiles(files, folder, handle))
        with patient.open_output_stream(f"{path}/{CHECKPOINT_LIST}") as stream:
            stream.write(listed.without(lost))


def newest(folder: str, handle: Handle) -> str | None:
    """Return path or URI of the checkpoint that a run would go on from; None where it has none.

    Args:
        folder: path or URI of the run's folder.
        handle: takes events of storage that refuses.

    Raises:
        UserError: the list of checkpoints cannot be read, or the storage has refused for minutes.
    """
    files, path = storage.open_uri(folder)
    listed = retry_storage(folder, partial(_read_list, files, path), handle)
    if listed is None or not listed.entries:
        return None
    return storage.join(folder, listed.entries[-1]["checkpoint_dir_name"])


@dataclass(frozen=True)
class _List:
    """Ray Train's list of a run's checkpoints."""

    values: dict[str, Any]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Folder names and metrics in the order in which they were stored."""
        pairs = zip(
            self.values["checkpoint_report_indices"],
            self.values["checkpoint_results"],
            strict=True,
        )
        return [entry for _, entry in sorted(pairs, key=lambda pair: pair[0])]

    def without(self, names: set[str]) -> bytes:
        """The file's content without some checkpoints."""
        kept = [
            (index, entry)
            for index, entry in zip(
                self.values["checkpoint_report_indices"],
                self.values["checkpoint_results"],
                strict=True,
            )
            if entry["checkpoint_dir_name"] not in names
        ]
        latest = max(kept, key=lambda pair: pair[0])[1]
        return json.dumps(
            {
                **self.values,
                "checkpoint_report_indices": [index for index, _ in kept],
                "checkpoint_results": [entry for _, entry in kept],
                "latest_checkpoint_result": latest,
            }
        ).encode()


def _read_list(files: fs.FileSystem, path: str) -> _List | None:
    """Read the list in a run's folder; None where there is none."""
    file = f"{path}/{CHECKPOINT_LIST}"
    if files.get_file_info(file).type != fs.FileType.File:
        return None
    with files.open_input_stream(file) as stream:
        content = stream.read()
    try:
        values = json.loads(content)
        if not reads_checkpoint_list(values):
            return None
        listed = _List(values)
        for entry in listed.entries:
            _check_entry(entry)
    except _NOT_WHOLE as error:
        raise UserError(
            f"{file}: the list of the run's checkpoints is damaged ({error}); take another name"
        ) from error
    return listed


def _check_entry(entry: dict[str, Any]) -> None:
    """Raise ValueError unless an entry has metrics and names a folder within the run's."""
    name = entry["checkpoint_dir_name"]
    if "/" in name or name in ("", ".", "..") or not isinstance(entry["metrics"], dict):
        raise ValueError(f"an entry of {name!r}")


def damage_of(files: fs.FileSystem, path: str) -> str | None:
    """Return why training cannot go on from a stored checkpoint; None where it is whole.

    Model and optimizer lie in zip files, whose checksums are compared with all of their bytes.
    """
    for name in (checkpoints.POSITION, checkpoints.OPTIMIZER, checkpoints.MODEL):
        try:
            with files.open_input_file(f"{path}/{name}") as stream:
                if name == checkpoints.POSITION:
                    checkpoints.position_from(stream.read())
                    continue
                with zipfile.ZipFile(stream) as archive:
                    broken = archive.testzip()
        except FileNotFoundError:
            return f"{name} is missing"
        except _NOT_WHOLE as error:
            return f"{name} is damaged ({str(error)[:100]})"
        if broken is not None:
            return f"{name} is damaged (the checksum of its {broken} is wrong)"
    return None
