"""A run's folder: its owner, its finished parts, and how to start over."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import yaml

from rnnray import run_folder, storage
from rnnray.artifacts import Exists, Store, open_store
from rnnray.chorale.generation import provenance
from rnnray.chorale.generation.generation_options import GenerationOptions
from rnnray.chorale.generation.plan import (
    BACH_PART,
    CONTENT_TYPES,
    PAGE,
    RUN,
    SUMMARY,
    Plan,
    is_written_by_runs,
)
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.run_lock import LOCK
from rnnray.yaml_file import read_mapping

# Fields with paths or URIs, which may change between runs; the digests of their content may not.
_PATH_FIELDS = ("checkpoint", "data")
_MANIFESTS = ("manifest/", BACH_PART)
# Sequentially, an object store deletes about ten files a second, and a run may have 30,000.
_DELETING_THREADS = 8
_DELETED_AT_ONCE = 1000  # most keys in memory


def open_run(options: GenerationOptions) -> Store:
    """Return the store of a run's folder.

    Raises:
        UserError: no such path or URI, or no presigned links there although they were requested.
    """
    store = open_store(storage.join(options.output, options.name))
    if options.presign_hours is not None:
        store.presign(PAGE, options.presign_hours)  # raises for a local folder, which has no links
    return store


def saved_run(store: Store, *, overwrite: bool = False) -> dict[str, Any] | None:
    """Return the configuration of the run in a folder; None for an empty folder.

    Args:
        store: store of the run.
        overwrite: whether the run will be replaced; its configuration may then be damaged: {}.

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
    """Return the plan of a run that has begun, for the kind of device that composes it.

    Args:
        store: store of the run.
        saved: configuration of the run in the folder.
        plan: plan of this run.

    Raises:
        UserError: the run has another configuration, or does not name its device.
    """
    device = saved.get("device")
    if device not in ("cpu", "gpu"):
        raise _damaged(store)
    plan = replace(plan, device=device)
    check_same(store, saved, plan.asked())
    return plan


def check_same(store: Store, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise `UserError` with all differences, unless an earlier run had the same configuration.

    Args:
        store: store of the run.
        saved: configuration of the earlier run.
        asked: configuration of this run.
    """
    names = [name for name in asked if name not in _PATH_FIELDS]
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
    """Write the configuration of a new run.

    Args:
        store: store of the run.
        plan: plan of the run.
        made_with: software and devices of the run; see `provenance`.
        replaces: whether the configuration of an earlier run, now deleted, may be replaced.

    Raises:
        UserError: another run has written its own meanwhile.
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
    """Return whether the run has finished all its work."""
    return store.size(SUMMARY) is not None


def unfinished(store: Store, plan: Plan) -> list[int]:
    """Return the indices, in the plan's list, of the parts without a manifest."""
    there = {entry.key for prefix in _MANIFESTS for entry in store.list(prefix)}
    return [index for index, part in enumerate(plan.parts()) if part.manifest not in there]


def clear(store: Store) -> None:
    """Delete the files that runs write, and no others.

    Leaves run.yaml, so that an interrupted clear still marks the folder as ours; the caller
    replaces or deletes it.
    """
    store.delete(SUMMARY)
    every = Every()
    deleted = 0
    with ThreadPoolExecutor(_DELETING_THREADS) as threads:
        # Manifests first: they claim that other files exist.
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
