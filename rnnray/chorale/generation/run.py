"""A generation run from beginning to end, on the driver, whose memory does not grow with it."""

import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
import ray

from rnnray import cluster, reach, run_folder
from rnnray.artifacts import Store
from rnnray.artifacts.guarded import GuardedStore
from rnnray.chorale.composing_options import RuleName, rule_nats
from rnnray.chorale.generation import folder, manifest, provenance
from rnnray.chorale.generation.generation_options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.pipeline import batches, rows_of
from rnnray.chorale.generation.plan import PAGE, Plan, count_chorales, make_plan
from rnnray.chorale.generation.publishing import publish
from rnnray.progress import Every, say
from rnnray.run_lock import RunLock

STAGES = ("compose", "render", "upload")
_PRESIGNED = b"X-Amz-Signature"  # in every presigned link


@dataclass(frozen=True)
class Generated:
    """Result of a complete run."""

    output: str
    """Path or URI of the run's folder."""
    page: str
    """Address of index.html; a presigned link if presigned links were requested."""
    written: int
    """Number of chorales of which this run wrote a file."""
    found: int
    """Number of chorales that existed already."""
    seconds: dict[str, float]
    """compose, render: CPU seconds, added up over the stage's workers; upload: seconds that workers
    waited for the store, added up; first, pieces: from the connection to the cluster to the storing
    of the first and of the last chorale; publish: page and summary; total: everything.
    """
    driver_mib: float
    """Peak memory of this process, MiB; it does not grow with the number of chorales."""
    rules: dict[RuleName, float] = field(default_factory=dict)
    """Rules that the chorales keep, with their nats."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON.

        chorales/s count the time until the last chorale was stored, including the start of the
        cluster's processes, excluding the page.
        """
        pieces = self.seconds["pieces"]
        rate = self.written / pieces if pieces else None
        return {"complete": True, **asdict(self), "chorales_per_second": rate}


def generate(
    config: GenerationConfig, options: GenerationOptions, *, verbose: bool = False
) -> Generated:
    """Compose, render and store all chorales of a run that do not exist yet; return the result.

    The files depend on `config`, the name, the kind of device and the software that run.yaml names,
    but not on interruptions or machines. With `presign_hours`, the page's links also depend on the
    time.

    Args:
        config: configuration of the chorales.
        options: storage and resources.
        verbose: see `cluster.connect`.

    Raises:
        UserError: bad input, a folder of something else or of another run, or a storage that
            refuses.
    """
    started = time.monotonic()
    store = folder.open_run(options)
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
        # Another run may have begun, and even ended, while this process connected.
        saved = folder.saved_run(store, overwrite=options.overwrite)
        resumes = saved is not None and not options.overwrite
        made_with = provenance.made_with(plan.device, plan.config.formats)
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
        part_indices = folder.unfinished(store, plan)
        watch = _Watch(count_chorales(plan.parts()), count_chorales(map(plan.part, part_indices)))
        say(f"{store.uri}: {watch}; composing on {'GPUs' if gpu else 'CPUs'}")
        if part_indices:
            stored = batches(plan, part_indices, store, resumes=resumes, samplers=options.samplers)
            collected = manifest.Parts(store, plan)
            for batch in watch.over(stored):
                lock.check()
                collected.add(batch["part"][0].as_py(), rows_of(batch))
        say(f"{store.uri}: {watch}; writing the page and the summary")
        publishing = time.monotonic()
        # In a task, because it holds the statistics of all chorales, and the driver should stay
        # small.
        task = ray.remote(publish)
        ray.get(task.remote(store, plan, options.presign_hours, summarise=True))
    ended = time.monotonic()
    seconds = watch.seconds | {"publish": ended - publishing, "total": ended - started}
    page = _page(store, options)
    rules = rule_nats(config.rules)
    return Generated(store.uri, page, watch.written, watch.found, seconds, _peak_mib(), rules)


class _Watch:
    """Counts the chorales of batches and the seconds of their stages, and prints progress."""

    def __init__(self, chorales: int, missing: int) -> None:
        self._chorales, self._missing = chorales, missing
        self._stored = 0
        self.written = 0
        self.seconds = dict.fromkeys((*STAGES, "first", "pieces"), 0.0)

    @property
    def found(self) -> int:
        """Number of chorales whose files all existed."""
        return self._chorales - self.written

    def __str__(self) -> str:
        there = self._chorales - self._missing + self._stored
        return f"{there:,} of {self._chorales:,} chorales"

    def over(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the batches themselves, one a table."""
        started = time.monotonic()
        every = Every()
        for batch in batches:
            yield batch
            (row,) = batch.drop_columns(["rows"]).to_pylist()
            for stage in STAGES:
                self.seconds[stage] += row[f"{stage}_seconds"]
            self.seconds["pieces"] = time.monotonic() - started
            self.seconds["first"] = self.seconds["first"] or self.seconds["pieces"]
            self._stored += row["chorales"]
            self.written += row["written"]
            if every():
                rate = self._stored / self.seconds["pieces"]
                say(f"{self}, {rate:.1f} a second")


def _complete_already(store: Store, plan: Plan, options: GenerationOptions) -> Generated:
    chorales = count_chorales(plan.parts())
    say(f"{store.uri}: complete; nothing to do for {chorales:,} chorales")
    # Renew presigned links: those of an earlier run have expired, or will.
    if options.presign_hours is not None or _PRESIGNED in (store.get(PAGE) or b""):
        say("writing the page with new links")
        publish(store, plan, options.presign_hours, summarise=False)
    seconds = dict.fromkeys((*STAGES, "first", "pieces", "publish", "total"), 0.0)
    rules = rule_nats(plan.config.rules)
    return Generated(store.uri, _page(store, options), 0, chorales, seconds, _peak_mib(), rules)


def _peak_mib() -> float:
    """Return the peak memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB, on Linux


def _page(store: Store, options: GenerationOptions) -> str:
    if options.presign_hours is None:
        return f"{store.uri}/{PAGE}"
    return store.presign(PAGE, options.presign_hours)
