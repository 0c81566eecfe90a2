"""What a run keeps in its folder of what was asked, so that another run is not mixed with it."""

from pathlib import Path
from typing import Any

import yaml

from rnnray import storage
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.yaml_file import read_mapping

# Where Ray unpacks what `ray job submit --working-dir` sends, and deletes it some time.
_UPLOADED = "working_dir_files"


def say_if_short_lived(folder: str) -> None:
    """Warn where a submitted job's results would lie in its copy of the working directory.

    Args:
        folder: absolute path, or URI.
    """
    if _UPLOADED in Path(folder).parts:
        say(
            f"{folder}: is in this job's copy of its working directory, which Ray deletes; to keep "
            "the results, give an absolute path or a URI"
        )


def keep(folder: str, name: str, values: dict[str, Any], what: str) -> bool:
    """Save what a new run was asked, as YAML; true for an earlier run that was asked the same.

    Args:
        folder: path or URI.
        name: of the file.
        values: a mapping of plain values, nested or not.
        what: the folder holds, for messages: "a run", "a sweep".

    Raises:
        UserError: the earlier run was asked something else (the differing fields are named), or
            nothing can be written there, or what it was asked is no YAML any more.
    """
    say_if_short_lived(folder)
    storage.check_writable(folder)
    file = storage.join(folder, name)
    saved = storage.read_bytes(file)
    if saved is None:
        text = yaml.safe_dump(values, sort_keys=False)
        storage.write_bytes(file, text.encode())
        return False
    different = differences(read_mapping(saved, file), values)
    if different:
        raise UserError(
            f"{folder} holds {what} of another configuration: {different}; "
            "take another --name, or the same options"
        )
    return True


def differences(saved: dict[str, Any], asked: dict[str, Any]) -> str:
    """The fields in which two mappings differ, nested ones by path, for people; "" for none."""
    old, new = _flat(saved), _flat(asked)
    return ", ".join(
        f"{key} ({old.get(key)!r} there, {new.get(key)!r} now)"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
