"""A run's folder: whose it is, what is there, and how to start over."""

from typing import Any

import yaml

from rnnray import run_folder
from rnnray.artifacts import Store
from rnnray.chorale.generation.plan import (
    BACH_PART,
    CONTENT_TYPES,
    LOCK,
    RUN,
    SUMMARY,
    Part,
    is_written_by_runs,
)
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.yaml_file import read_mapping

# Where a run says what it was asked; the places themselves may move, their digests may not.
_PLACES = ("checkpoint", "data")


def saved_run(store: Store) -> dict[str, Any] | None:
    """What an earlier run was asked; None for a folder that is empty.

    Raises:
        UserError: the folder has something else in it, or cannot be read.
    """
    content = store.get(RUN)
    if content is None:
        found = next((entry.key for entry in store.list() if entry.key != LOCK), None)
        if found is not None:
            raise UserError(
                f"{store.uri}: is not empty ({found}) and has no {RUN}, so it belongs to something "
                "else; take another --output or --name"
            )
        return None
    try:
        return read_mapping(content, RUN)
    except UserError as error:
        raise UserError(f"{store.uri}/{RUN}: is damaged; start over with --overwrite") from error


def check_same(store: Store, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise `UserError` with all differences, unless an earlier run was asked the same."""
    names = [name for name in asked if name not in _PLACES]
    different = run_folder.differences(
        {name: saved.get(name) for name in names}, {name: asked[name] for name in names}
    )
    if different:
        raise UserError(
            f"{store.uri} holds a run of another configuration: {different}; take "
            "another --name, or the same options, or start over with --overwrite"
        )


def save(store: Store, asked: dict[str, Any]) -> None:
    """Write what a new run was asked."""
    content = yaml.safe_dump(asked, sort_keys=False).encode()
    store.put(RUN, content, content_type=CONTENT_TYPES["yaml"], if_absent=True)


def is_complete(store: Store) -> bool:
    """Whether the run has done all its work."""
    return store.size(SUMMARY) is not None


def unfinished(store: Store, parts: list[Part]) -> list[int]:
    """The places of the parts whose manifest is not there."""
    there = {entry.key for prefix in ("manifest/", BACH_PART) for entry in store.list(prefix)}
    return [place for place, part in enumerate(parts) if part.manifest not in there]


def clear(store: Store) -> None:
    """Delete what runs write, and nothing else; run.yaml last, as it says whose folder this is."""
    store.delete(SUMMARY)
    every = Every()
    deleted = 0
    for entry in store.list():
        if entry.key != RUN and is_written_by_runs(entry.key):
            store.delete(entry.key)
            deleted += 1
            if every():
                say(f"deleted {deleted:,} files")
    store.delete(RUN)
    say(f"deleted {deleted:,} files of the run that was there")
