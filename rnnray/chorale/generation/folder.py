"""A run's folder: whose it is, what is there, and how to start over."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import yaml

from rnnray import run_folder
from rnnray.artifacts import Exists, Store
from rnnray.chorale.generation import provenance
from rnnray.chorale.generation.plan import (
    BACH_PART,
    CONTENT_TYPES,
    RUN,
    SUMMARY,
    Plan,
    is_written_by_runs,
)
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.run_lock import LOCK
from rnnray.yaml_file import read_mapping

# Where a run says what it was asked; the places themselves may move, their digests may not.
_PLACES = ("checkpoint", "data")
_MANIFESTS = ("manifest/", BACH_PART)
# An object store deletes some ten a second one after the other, and a run may have 30,000.
_DELETING_THREADS = 8
_DELETED_AT_ONCE = 1000  # so many keys are held


def saved_run(store: Store, *, overwrite: bool = False) -> dict[str, Any] | None:
    """What an earlier run was asked; None for a folder that is empty.

    Args:
        store: of the run.
        overwrite: the run is to be replaced, so what it was asked may be damaged: {} then.

    Raises:
        UserError: the folder has something else in it, or cannot be read.
    """
    content = store.get(RUN)
    if content is None:
        found = next((entry.key for entry in store.list() if entry.key != LOCK), None)
        if found is not None:
            raise UserError(
                f"{store.uri}: is not empty ({found}) and has no {RUN}, so it belongs to "
                "something else; use another --output or --name"
            )
        return None
    try:
        return read_mapping(content, RUN)
    except UserError as error:
        if overwrite:
            return {}
        raise _damaged(store) from error


def begun(store: Store, saved: dict[str, Any], plan: Plan) -> Plan:
    """The plan of a run that was begun, for the kind of device that composes it.

    Raises:
        UserError: it was asked something else, or does not say what composes it.
    """
    device = saved.get("device")
    if device not in ("cpu", "gpu"):
        raise _damaged(store)
    plan = replace(plan, device=device)
    check_same(store, saved, plan.asked())
    return plan


def check_same(store: Store, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise `UserError` with all differences, unless an earlier run was asked the same."""
    names = [name for name in asked if name not in _PLACES]
    on_cpus = saved.get("device") == "cpu" and asked.get("device") == "gpu"
    run_folder.check_same(
        store.uri,
        {name: saved.get(name) for name in names},
        {name: asked[name] for name in names},
        "a run",
        f"{' with --no-gpu' if on_cpus else ''}, or start over with --overwrite",
    )


def save(
    store: Store, plan: Plan, *, made_with: Mapping[str, str] = {}, replaces: bool = False
) -> None:
    """Write what a new run was asked.

    Args:
        store: of the run.
        plan: of the run.
        made_with: software and devices of the run; see `provenance`.
        replaces: an earlier run of which nothing else is left.

    Raises:
        UserError: another run has done so meanwhile.
    """
    values = plan.asked() | ({provenance.FIELD: dict(made_with)} if made_with else {})
    content = yaml.safe_dump(values, sort_keys=False).encode()
    try:
        store.put(
            RUN,
            content,
            content_type=CONTENT_TYPES["yaml"],
            metadata=plan.metadata(),
            if_absent=not replaces,
        )
    except Exists as error:
        raise UserError(
            f"{store.uri}: another run has begun there in the meantime; run again"
        ) from error


def is_complete(store: Store) -> bool:
    """Whether the run has done all its work."""
    return store.size(SUMMARY) is not None


def unfinished(store: Store, plan: Plan) -> list[int]:
    """The places of the parts whose manifest is not there."""
    there = {entry.key for prefix in _MANIFESTS for entry in store.list(prefix)}
    return [place for place, part in enumerate(plan.parts()) if part.manifest not in there]


def clear(store: Store) -> None:
    """Delete what runs write, and nothing else.

    But for run.yaml, which says whose folder this is, whatever ends this before its time: put
    another one in its place, or delete it.
    """
    store.delete(SUMMARY)
    every = Every()
    deleted = 0
    with ThreadPoolExecutor(_DELETING_THREADS) as threads:
        # First what says of other files that they are there.
        for prefix in (*_MANIFESTS, ""):
            keys = (
                entry.key
                for entry in store.list(prefix)
                if entry.key != RUN and is_written_by_runs(entry.key)
            )
            while some := list(islice(keys, _DELETED_AT_ONCE)):
                for _ in threads.map(store.delete, some):
                    deleted += 1
                    if every():
                        say(f"deleted {deleted:,} files")
    say(f"deleted {deleted:,} files of the run that was there")


def _damaged(store: Store) -> UserError:
    return UserError(f"{store.uri}/{RUN}: is damaged; start over with --overwrite")
