"""What a run keeps in its folder of what was asked, so that another run is not mixed with it."""

from typing import Any

import yaml

from rnnray import storage
from rnnray.errors import UserError


def keep(folder: str, name: str, values: dict[str, Any], what: str) -> bool:
    """Save what a new run was asked, as YAML; true for an earlier run that was asked the same.

    Args:
        folder: path or URI.
        name: of the file.
        values: a mapping of plain values, nested or not.
        what: the folder holds, for messages: "a run", "a sweep".

    Raises:
        UserError: the earlier run was asked something else (the differing fields are named), or
            nothing can be written there.
    """
    storage.check_writable(folder)
    saved = storage.read_bytes(storage.join(folder, name))
    if saved is None:
        text = yaml.safe_dump(values, sort_keys=False)
        storage.write_bytes(storage.join(folder, name), text.encode())
        return False
    old, new = _flat(yaml.safe_load(saved)), _flat(values)
    differing = [
        f"{key} ({old.get(key)!r} there, {new.get(key)!r} now)"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if differing:
        raise UserError(
            f"{folder} holds {what} of another configuration: {', '.join(differing)}; "
            "take another --name, or the same options"
        )
    return True


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
