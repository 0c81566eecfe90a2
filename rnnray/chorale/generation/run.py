"""A generation run from beginning to end, on the driver: small, however many chorales."""

import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
import ray

from rnnray import cluster, reach, run_folder, storage
from rnnray.artifacts import Store, open_store
from rnnray.artifacts.guarded import GuardedStore
from rnnray.chorale.composing_options import RuleName, rule_nats
from rnnray.chorale.generation import folder, manifest, provenance
from rnnray.chorale.generation.generation_options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.pipeline import rows_of, sheaves
from rnnray.chorale.generation.plan import PAGE, Part, Plan, make_plan
from rnnray.chorale.generation.publishing import publish
from rnnray.progress import Every, say
from rnnray.run_lock import RunLock

STAGES = ("compose", "render", "upload")
_PRESIGNED = b"X-Amz-Signature"  # in every presigned link


@dataclass(frozen=True)
class Generated:
    """A run that is complete."""

    output: str
    """Its folder, a path or URI."""
    page: str
    """Where index.html is; a presigned link if such were asked for."""
    written: int
    """Chorales of which a file was written now."""
    found: int
    """Chorales that were there already."""
    seconds: dict[str, float]
    """compose, render: of CPUs, added up over the stage's workers; upload: that workers waited for
    the store, added up; first, pieces: until the first and the last chorales were stored, once the
    cluster is there; publish: for page and summary; total: of everything."""
    driver_mib: float
    """The most memory that this process held; it does not grow with the number of chorales."""
    rules: dict[RuleName, float] = field(default_factory=dict)
    """What the chorales were held to: nats by rule."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; chorales/s are of the time until the last chorale was stored, with the start of
        the cluster's processes, without the page."""
        pieces = self.seconds["pieces"]
        rate = self.written / pieces if pieces else None
        return {"complete": True, **asdict(self), "chorales_per_second": rate}


def open_run(options: GenerationOptions) -> Store:
    """The store of a run's folder.

    Raises:
        UserError: no such place, or one without the links that are asked for.
    """
    store = open_store(storage.join(options.output, options.name))
    if options.presign_hours is not None:
        store.presign(PAGE, options.presign_hours)  # a local folder has no links, and says so
    return store


def generate(
    config: GenerationConfig, options: GenerationOptions, *, verbose: bool = False
) -> Generated:
    """Compose, render and store all chorales of a run that are not there yet.

    What is written depends on `config`, the name, the kind of device and the software that run.yaml
    names, however often the run is interrupted and on how many machines it goes on; with
    `presign_hours`, the page's links also on the time.

    Args:
        config: what to compose.
        options: where.
        verbose: see `cluster.connect`.

    Raises:
        UserError: bad input, a folder that belongs to something else or is another run's, or a
            storage that refuses.
    """
    started = time.monotonic()
    store = open_run(options)
    run_folder.say_if_short_lived(store.uri)
    plan = make_plan(options.name, config)
    saved = folder.saved_run(store, overwrite=options.overwrite)
    if saved is not None and not options.overwrite:
        begun = folder.begun(store, saved, plan)
        if folder.is_complete(store):
            return _complete_already(store, begun, options)

    cluster.connect(verbose=verbose)
    reach.check_writing(store.uri, "the chorales")
    gpu = not options.no_gpu and cluster.has_gpus()
    plan = replace(plan, device="gpu" if gpu else "cpu")
    with RunLock(store) as lock:
        store = GuardedStore(store, lock.held.check)
        # Another run may have begun, and even ended, while this one connected.
        saved = folder.saved_run(store, overwrite=options.overwrite)
        resumes = saved is not None and not options.overwrite
        made_with = provenance.made_with(plan.device)
        if saved is None:
            folder.save(store, plan, made_with=made_with)
        elif options.overwrite:
            folder.clear(store)
            folder.save(store, plan, made_with=made_with, replaces=True)
        else:
            folder.check_same(store, saved, plan.asked())
            if folder.is_complete(store):
                return _complete_already(store, plan, options)
            provenance.say_differences(store, saved, made_with)
        places = folder.unfinished(store, plan)
        watch = _Watch(count_chorales(plan.parts()), count_chorales(map(plan.part, places)))
        say(f"{store.uri}: {watch}; composing on {'GPUs' if gpu else 'CPUs'}")
        if places:
            stored = sheaves(plan, places, store, resumes=resumes, samplers=options.samplers)
            collected = manifest.Parts(store, plan)
            for sheaf in watch.over(stored):
                lock.check()
                collected.add(sheaf["part"][0].as_py(), rows_of(sheaf))
        say(f"{store.uri}: {watch}; writing the page and the summary")
        publishing = time.monotonic()
        # In a task, because it holds the figures of all chorales, and the driver stays small.
        task = ray.remote(publish)
        ray.get(task.remote(store, plan, options.presign_hours, summarise=True))
    ended = time.monotonic()
    seconds = watch.seconds | {"publish": ended - publishing, "total": ended - started}
    page = _page(store, options)
    rules = rule_nats(config.rules)
    return Generated(store.uri, page, watch.written, watch.found, seconds, _peak_mib(), rules)


class _Watch:
    """Counts the chorales of sheaves and the seconds of their stages, and tells of progress."""

    def __init__(self, chorales: int, missing: int) -> None:
        self._chorales, self._missing = chorales, missing
        self._stored = 0
        self.written = 0
        self.seconds = dict.fromkeys((*STAGES, "first", "pieces"), 0.0)

    @property
    def found(self) -> int:
        """Chorales that had all their files."""
        return self._chorales - self.written

    def __str__(self) -> str:
        there = self._chorales - self._missing + self._stored
        return f"{there:,} of {self._chorales:,} chorales"

    def over(self, sheaves: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The sheaves themselves, one a table."""
        started = time.monotonic()
        every = Every()
        for sheaf in sheaves:
            yield sheaf
            (row,) = sheaf.drop_columns(["rows"]).to_pylist()
            for stage in STAGES:
                self.seconds[stage] += row[f"{stage}_seconds"]
            self.seconds["pieces"] = time.monotonic() - started
            self.seconds["first"] = self.seconds["first"] or self.seconds["pieces"]
            self._stored += row["chorales"]
            self.written += row["written"]
            if every():
                rate = self._stored / self.seconds["pieces"]
                say(f"{self}, {rate:.1f} a second")


def count_chorales(parts: Iterable[Part]) -> int:
    """Chorales of some parts, without Bach's."""
    return sum(part.stop - part.start for part in parts if part.temperature is not None)


def _complete_already(store: Store, plan: Plan, options: GenerationOptions) -> Generated:
    chorales = count_chorales(plan.parts())
    say(f"{store.uri}: complete, nothing to do for {chorales:,} chorales")
    # Links of an earlier run have expired, or will.
    if options.presign_hours is not None or _PRESIGNED in (store.get(PAGE) or b""):
        say("writing the page with new links")
        publish(store, plan, options.presign_hours, summarise=False)
    seconds = dict.fromkeys((*STAGES, "first", "pieces", "publish", "total"), 0.0)
    rules = rule_nats(plan.config.rules)
    return Generated(store.uri, _page(store, options), 0, chorales, seconds, _peak_mib(), rules)


def _peak_mib() -> float:
    """The most memory that this process held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB, on Linux


def _page(store: Store, options: GenerationOptions) -> str:
    if options.presign_hours is None:
        return f"{store.uri}/{PAGE}"
    return store.presign(PAGE, options.presign_hours)
