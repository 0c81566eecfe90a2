"""Parts -> chorales -> files -> stored files, as a Ray Data pipeline.

Each stage is sized by itself: samplers are actors that have loaded the checkpoint, rendering is
tasks that keep the CPUs busy, uploads wait for the storage with a few threads each. Between the
stages go sheaves of a few chorales; back to the driver come rows of the manifest.
"""

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray.data

from rnnray import cluster, reach
from rnnray.artifacts import Store
from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.composing_options import rule_nats
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.manifest import ROW, figures_of
from rnnray.chorale.generation.plan import CONTENT_TYPES, Plan, model_digest
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.sound import synthesize, wav_bytes
from rnnray.chorale.tokens import NONE
from rnnray.errors import UserError

if TYPE_CHECKING:
    from rnnray.chorale.sampler import Sampler

# Of a sheaf, at most; some 20 MB of files.
_SHEAF_CHORALES, _SHEAF_SECONDS = 8, 100

# Rendering bounds a run, and is given two tasks a CPU: one often waits for its turn, and Ray Data
# sets a third of the CPUs aside for the stages that need few.
_SAMPLER_CPUS, _RENDER_CPUS, _UPLOAD_CPUS = 0.25, 0.5, 0.05
_UPLOAD_THREADS = 8
_CPUS_A_SAMPLER = 8  # composing costs a tenth of what rendering does

_SECONDS = [(f"{stage}_seconds", pa.float64()) for stage in ("compose", "render", "upload")]
SHEAF = pa.schema(
    [
        ("part", pa.int64()),  # its place in the plan's list of parts
        ("rows", pa.list_(ROW)),
        ("contents", pa.list_(pa.large_binary())),  # of the rows' files, one row after the other
        ("chorales", pa.int64()),  # that were composed: 0 for Bach's
        ("written", pa.int64()),  # of them, those of which a file was not there before
        *_SECONDS,  # of a CPU for composing and rendering, of the clock for uploading
    ]
)
Row = dict[str, Any]  # of the manifest; columns that are not known yet are left out


class Compose:
    """Composes parts; the checkpoint is loaded with the first one.

    Not in the constructor: of an actor that fails there, Ray tells the traceback's text alone, and
    tries again.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @cached_property
    def _sampler(self) -> "Sampler":
        checkpoint = self._plan.config.checkpoint
        # One thread: sums are added up in one order, however many cores a machine has, and the
        # other cores are rendering.
        composer = TrainedComposer(checkpoint, threads=1, needs_gpu=self._plan.device == "gpu")
        # After loading, so that it is the digest of what was loaded or of something newer.
        if model_digest(checkpoint) != self._plan.model:
            raise UserError(
                f"{checkpoint}: is another model on {socket.gethostname()} than where the run "
                "began, or was replaced since; keep it where all nodes see the same"
            )
        return composer.sampler(
            batch_size=self._plan.part_size,
            seed=self._plan.config.seed,
            rules=rule_nats(self._plan.config.rules),
            temperature_on=self._plan.config.temperature_on,
        )

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Parts, given by their place in the plan -> sheaves."""
        for place in table["part"].to_pylist():
            started = time.process_time()
            part = self._plan.part(place)
            requests = self._plan.requests(part)
            (composed,) = self._sampler.compose(requests)
            rows: list[Row] = []
            for request, composition in zip(requests, composed, strict=True):
                counted = request.given == NONE
                if part.temperature is None:
                    counted[:] = True
                rows.append(
                    {
                        "index": request.index,
                        "temperature": part.temperature,
                        "seed": self._plan.config.seed,
                        "checkpoint": self._plan.model,
                        "rules": self._plan.rules(part),
                        "chords": composition.chords.reshape(-1),
                        "nats_per_note": float(composition.nats[counted].mean(dtype=np.float64)),
                    }
                )
            seconds = (time.process_time() - started) / len(rows)
            size = sheaf_size(self._plan.config)
            for first in range(0, len(rows), size):
                some = rows[first : first + size]
                yield _table({"part": place, "rows": some, "compose_seconds": seconds * len(some)})


def sheaf_size(config: GenerationConfig) -> int:
    """Chorales in a sheaf, at most: fewer long ones, since all their sound is held at once."""
    seconds = config.chords * 15 / config.tempo
    return max(1, min(_SHEAF_CHORALES, int(_SHEAF_SECONDS / seconds)))


def render(table: pa.Table, plan: Plan) -> pa.Table:
    """A sheaf with the contents of all files, and with the figures of its chorales."""
    started = time.process_time()
    (sheaf,) = table.to_pylist()
    part = plan.part(sheaf["part"])
    contents: list[bytes] = []
    for row in sheaf["rows"]:
        chords = np.array(row["chords"], np.int16).reshape(-1, VOICE_COUNT)
        files = file_contents(chords, plan.title(part, row["index"]), plan.config)
        contents += files.values()
        row["files"] = [
            {
                "key": part.key(row["index"], suffix),
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for suffix, content in files.items()
        ]
        row.update(figures_of(chords))
    sheaf |= {"contents": contents, "render_seconds": time.process_time() - started}
    return _table(sheaf)


def file_contents(chords: Chords, title: str, config: GenerationConfig) -> dict[str, bytes]:
    """The files of a chorale by suffix: the same bytes for the same arguments."""
    makers: dict[str, Callable[[], bytes]] = {
        "wav": lambda: wav_bytes(
            synthesize(chords, tempo=config.tempo, instrument=config.instrument)
        ),
        "mid": lambda: midi_bytes(chords, tempo=config.tempo, title=title),
        "musicxml": lambda: musicxml_bytes(chords, tempo=config.tempo, title=title),
    }
    return {suffix: makers[suffix]() for suffix in config.formats}


class Upload:
    """Puts the files of sheaves into the store.

    Args:
        store: of the run.
        plan: of the run.
        resumes: files may be there already, and are not put again if they have their content: all
            WAVs of a run have one size, and other versions or devices may have written these.
    """

    def __init__(self, store: Store, plan: Plan, resumes: bool) -> None:
        self._store, self._plan, self._resumes = store, plan, resumes
        self._threads = ThreadPoolExecutor(_UPLOAD_THREADS)

    def __call__(self, table: pa.Table) -> pa.Table:
        """A sheaf without its contents, once they are stored."""
        started = time.perf_counter()
        (sheaf,) = table.drop_columns(["contents"]).to_pylist()
        contents = iter(table["contents"].combine_chunks().flatten())
        part = self._plan.part(sheaf["part"])
        puts = [
            [
                self._threads.submit(
                    self._put, file, next(contents), self._plan.metadata(part, row["index"])
                )
                for file in row["files"]
            ]
            for row in sheaf["rows"]
        ]
        written = [[put.result() for put in files] for files in puts]
        composed = part.temperature is not None
        sheaf |= {
            "chorales": len(puts) if composed else 0,
            "written": sum(map(any, written)) if composed else 0,
            "upload_seconds": time.perf_counter() - started,
        }
        return _table(sheaf)

    def _put(self, file: dict[str, Any], content: pa.Scalar, metadata: dict[str, str]) -> bool:
        """Whether the file was not there before, with this content."""
        key = file["key"]
        if self._resumes and self._store.sha256(key) == file["sha256"]:
            return False
        content_type = CONTENT_TYPES[key.rpartition(".")[2]]
        self._store.put(key, content.as_py(), content_type=content_type, metadata=metadata)
        return True


def sheaves(
    plan: Plan, places: list[int], store: Store, *, resumes: bool, samplers: int | None
) -> Iterator[pa.Table]:
    """Compose, render and store some parts of a plan.

    Args:
        plan: of the run.
        places: of the parts, in the plan's list.
        store: of the run.
        resumes: see `Upload`.
        samplers: actors that compose, at most; by default one a GPU, or one for eight CPUs.

    Returns:
        Tables of `SHEAF` without contents, as they come.
    """
    parts = ray.data.from_items(
        [{"part": place} for place in places], override_num_blocks=len(places)
    )
    # In bytes; a block, which is a task's worth, is then a single row: a part, or a sheaf.
    parts.context.target_max_block_size = 1
    stored = (
        parts.map_batches(
            Compose,
            fn_constructor_args=(plan,),
            batch_size=1,
            batch_format="pyarrow",
            compute=sampler_pool(plan, len(places), samplers),
            num_cpus=_SAMPLER_CPUS,
            num_gpus=1 if plan.device == "gpu" else 0,
            **reach.reading(plan.config.checkpoint, "the checkpoint's files"),
        )
        .map_batches(
            render,
            fn_args=(plan,),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=_RENDER_CPUS,
        )
        .map_batches(
            Upload,
            fn_constructor_args=(store, plan, resumes),
            batch_size=1,
            batch_format="pyarrow",
            compute=upload_pool(len(places)),
            num_cpus=_UPLOAD_CPUS,
        )
    )
    tables: Iterator[pa.Table] = iter(stored.iter_batches(batch_size=None, batch_format="pyarrow"))
    return tables


def sampler_pool(plan: Plan, parts: int, samplers: int | None) -> ray.data.ActorPoolStrategy:
    """One sampler to begin with; at most one a part and, unless their number is given, one a GPU or
    one for eight CPUs, of all nodes that the cluster may start.
    """
    if samplers is None:
        gpu = plan.device == "gpu"
        samplers = int(cluster.most("GPU") if gpu else cluster.most("CPU") / _CPUS_A_SAMPLER)
    return ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(samplers, parts)))


def upload_pool(parts: int) -> ray.data.ActorPoolStrategy:
    """An uploader for two CPUs: of those that are there and, at most, of those that may come."""
    now, most = (
        max(1, min(int(cpus / 2), parts))
        for cpus in (ray.cluster_resources().get("CPU", 0), cluster.most("CPU"))
    )
    return ray.data.ActorPoolStrategy(min_size=now, max_size=max(now, most))


def rows_of(sheaf: pa.Table) -> pa.Table:
    """The rows of the manifest in a sheaf."""
    return pa.Table.from_struct_array(sheaf["rows"].combine_chunks().flatten())


def _table(sheaf: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([sheaf], schema=SHEAF)
