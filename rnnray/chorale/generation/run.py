"""A generation run from beginning to end, on the driver: small, however many chorales."""

import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import ray

from rnnray import cluster, storage
from rnnray.artifacts import Store, open_store
from rnnray.chorale.generation import folder, manifest
from rnnray.chorale.generation.lock import RunLock
from rnnray.chorale.generation.options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.pipeline import rows_of, sheaves
from rnnray.chorale.generation.plan import PAGE, Part, Plan, make_plan
from rnnray.chorale.generation.publishing import publish
from rnnray.progress import Every, say

STAGES = ("compose", "render", "upload")
_CPUS_A_SAMPLER = 8  # composing costs a tenth of what rendering does


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
    """compose, render, upload: that the stage's workers were busy, added up; first, pieces: until
    the first and the last chorales were stored, once the cluster is there; publish: for page and
    summary; total: of everything."""
    driver_mib: float
    """The most memory that this process held; it does not grow with the number of chorales."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; chorales/s are of the time until the last chorale was stored, with the start of
        the cluster's processes, without the page."""
        pieces = self.seconds["pieces"]
        rate = self.written / pieces if pieces else None
        return {"complete": True, **asdict(self), "chorales_per_second": rate}


def open_run(options: GenerationOptions) -> Store:
    """The store of a run's folder."""
    return open_store(storage.join(options.output, options.name))


def generate(
    config: GenerationConfig, options: GenerationOptions, *, verbose: bool = False
) -> Generated:
    """Compose, render and store all chorales of a run that are not there yet.

    What is written depends on `config` and the name alone, however often the run is interrupted
    and on how many machines it goes on; with `presign_hours`, the page's links also on the time.

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
    if options.presign_hours is not None:
        store.presign(PAGE, options.presign_hours)  # a local folder has no links, and says so
    plan = make_plan(options.name, config)
    saved = folder.saved_run(store)
    if saved is not None and not options.overwrite:
        folder.check_same(store, saved, plan.asked())
        if folder.is_complete(store):
            return _complete_already(store, plan, options)

    cluster.connect(verbose=verbose)
    gpu = not options.no_gpu and cluster.has_gpus()
    # A GPU's arithmetic is another one, so a run keeps to the kind of device that it began on.
    asked = plan.asked() | {"device": "gpu" if gpu else "cpu"}
    with RunLock(store) as lock:
        # Another run may have begun, and even ended, while this one connected.
        saved = folder.saved_run(store)
        if saved is not None and options.overwrite:
            folder.clear(store)
            saved = None
        if saved is None:
            folder.save(store, asked)
        else:
            folder.check_same(store, saved, asked)
            if folder.is_complete(store):
                return _complete_already(store, plan, options)
        parts = plan.parts()
        places = folder.unfinished(store, parts)
        watch = _Watch(_chorales(parts), _chorales([parts[place] for place in places]))
        say(f"{store.uri}: {watch}; composing on {'GPUs' if gpu else 'CPUs'}")
        if places:
            samplers = options.samplers or _samplers(gpu)
            stored = sheaves(
                plan, places, store, resumes=saved is not None, samplers=samplers, gpu=gpu
            )
            collected = manifest.Parts(store, parts)
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
    return Generated(store.uri, page, watch.written, watch.found, seconds, _peak_mib())


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


def _chorales(parts: Sequence[Part]) -> int:
    """Those that are composed."""
    return sum(part.stop - part.start for part in parts if part.temperature is not None)


def _samplers(gpu: bool) -> int:
    resources = ray.cluster_resources()
    # Nodes that the autoscaler may add do not count yet, hence one at least.
    number = resources.get("GPU", 0) if gpu else resources.get("CPU", 0) / _CPUS_A_SAMPLER
    return max(1, int(number))


def _complete_already(store: Store, plan: Plan, options: GenerationOptions) -> Generated:
    chorales = _chorales(plan.parts())
    say(f"{store.uri}: complete, all {chorales:,} chorales are there")
    if options.presign_hours is not None:
        say("writing the page with new links")
        publish(store, plan, options.presign_hours, summarise=False)
    seconds = dict.fromkeys((*STAGES, "first", "pieces", "publish", "total"), 0.0)
    return Generated(store.uri, _page(store, options), 0, chorales, seconds, _peak_mib())


def _peak_mib() -> float:
    """The most memory that this process held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB, on Linux


def _page(store: Store, options: GenerationOptions) -> str:
    if options.presign_hours is None:
        return f"{store.uri}/{PAGE}"
    return store.presign(PAGE, options.presign_hours)
