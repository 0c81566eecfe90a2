"""The configuration that a run saves in its folder, so that no other run is mixed with it."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from rnnray import storage
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.run_lock import RunLock, lock_store
from rnnray.yaml_file import read_mapping

DATA = "data.yaml"
# Folder to which Ray unpacks the files of `ray job submit --working-dir`, and deletes them later.
_UPLOADED = "working_dir_files"
_MANY = 1000  # largest number of files or pieces that are listed by name
_FEW = 3  # differences of data that are named; the rest is counted


def say_if_short_lived(folder: str) -> None:
    """Warn if a submitted job's results would lie in its copy of the working directory.

    Args:
        folder: absolute path, or URI.
    """
    if _UPLOADED in Path(folder).parts:
        say(
            f"{folder}: is in the job's copy of its working directory, which Ray deletes; to keep "
            "the results, use an absolute path or a URI"
        )


def lock(folder: str) -> RunLock:
    """Return the lock of a run that writes into a folder; hold it for as long as the run writes.

    Args:
        folder: absolute path, or URI.

    Raises:
        UserError: the folder cannot be written.
    """
    say_if_short_lived(folder)
    storage.check_writable(folder)
    return RunLock(lock_store(folder))


def save_or_compare(
    folder: str,
    name: str,
    values: dict[str, Any],
    what: str,
    *,
    data: Mapping[str, Any] = {},
    growing: Collection[str] = (),
    defaults: Mapping[str, Any] = {},
) -> dict[str, Any] | None:
    """Save a run's configuration as YAML, unless an earlier run with the same one did.

    Args:
        folder: path or URI.
        name: name of the file.
        values: the configuration, a mapping of plain values, nested or not.
        what: content of the folder for messages: "a run", "a sweep".
        data: identity of the data as plain values, for `DATA`; if empty, nothing is saved or
            compared.
        growing: numeric fields that may be greater than in the earlier run; the file then gets the
            new values.
        defaults: values that fields had in versions that did not save them.

    Returns:
        The earlier run's configuration; None if there was none.

    Raises:
        UserError: the earlier run had another configuration (the differing fields are named) or
            other data (the first differences are named); or the folder cannot be written; or the
            earlier file is no longer valid YAML.
    """
    file, data_file = storage.join(folder, name), storage.join(folder, DATA)
    saved, saved_data = _saved(file), _saved(data_file) if data else None
    if saved is not None:
        saved = _filled(saved, defaults)
    grown = {
        field: values[field]
        for field in growing
        if saved and type(saved.get(field)) is type(values[field]) and saved[field] < values[field]
    }
    if saved is not None:
        more = f" ({', '.join(growing)} may be raised)" if growing else ""
        check_same(folder, saved | grown, values, what, more)
    if saved is not None and saved_data is not None:
        different = differences(_by_number(saved_data), _by_number(data), most=_FEW)
        if different:
            raise UserError(
                f"{folder} holds {what} on other data: {different}; use another --name, or the "
                "data that it began with"
            )
    # Runs of older versions did not save the identity of their data; they get it now.
    if data and (saved is None or saved_data is None):
        _save(data_file, data)
    if saved is None or grown:
        _save(file, values)
    return saved


def check_same(
    folder: str, saved: Mapping[str, Any], asked: Mapping[str, Any], what: str, more: str = ""
) -> None:
    """Raise `UserError` with all differences, unless an earlier run had the same configuration.

    Args:
        folder: path or URI.
        saved: the earlier run's configuration.
        asked: this run's configuration.
        what: see `save_or_compare`.
        more: end of the message, about other remedies.
    """
    different = differences(saved, asked)
    if different:
        raise UserError(
            f"{folder} holds {what} of another configuration: {different}; "
            f"use another --name, or the same options{more}"
        )


def differences(saved: Mapping[str, Any], asked: Mapping[str, Any], most: int | None = None) -> str:
    """Return the fields in which two mappings differ, nested ones by path, for people; "" for none.

    Args:
        saved: the old values.
        asked: the new values.
        most: number of fields that are named, the rest being counted; None for all.
    """
    old, new = _flat(saved), _flat(asked)
    different = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    named = [f"{key} ({old.get(key)!r} there, {new.get(key)!r} now)" for key in different[:most]]
    rest = len(different) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def condensed(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by name; of more than 1,000, only their number and a digest.

    So the identity of large data stays small.
    """
    if len(members) <= _MANY:
        return dict(members)
    text = json.dumps(dict(members), sort_keys=True)
    return {"count": len(members), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _save(file: str, values: Mapping[str, Any]) -> None:
    storage.write_bytes(file, yaml.safe_dump(dict(values), sort_keys=False).encode())


def _saved(file: str) -> dict[str, Any] | None:
    content = storage.read_bytes(file)
    return None if content is None else read_mapping(content, file)


def _filled(saved: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved values, with defaults for those that are missing; nested ones too."""
    filled = {**defaults, **saved}
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(filled[name], Mapping):
            filled[name] = _filled(filled[name], value)
    return filled


def _by_number(value: Any) -> Any:
    """Turn lists into mappings from numbers, so that differences name members and not lists."""
    if isinstance(value, Mapping):
        return {str(key): _by_number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return {f"{number:04d}": _by_number(item) for number, item in enumerate(value)}
    return value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
