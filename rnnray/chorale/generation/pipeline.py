"""Parts -> chorales -> files -> stored files, as a Ray Data pipeline.

Each stage is sized by itself: samplers are actors that have loaded the checkpoint, rendering is
tasks that keep the CPUs busy, uploads wait for the storage with a few threads each. Between the
stages go sheaves of a few chorales; back to the driver come rows of the manifest.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray.data

from rnnray.artifacts import Store
from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.generation.manifest import ROW, figures_of
from rnnray.chorale.generation.options import GenerationConfig
from rnnray.chorale.generation.plan import CONTENT_TYPES, PART_SIZE, Plan
from rnnray.chorale.midi import midi_bytes
from rnnray.chorale.musicxml import musicxml_bytes
from rnnray.chorale.sound import synthesize, wav_bytes
from rnnray.chorale.tokens import NONE

if TYPE_CHECKING:
    from rnnray.chorale.sampler import Sampler

_SHEAF = 8  # chorales; some 20 MB of files

# Rendering bounds a run, and is given two tasks a CPU: one often waits for its turn, and Ray Data
# sets a third of the CPUs aside for the stages that need few.
_SAMPLER_CPUS, _RENDER_CPUS, _UPLOAD_CPUS = 0.25, 0.5, 0.05
_UPLOAD_THREADS = 8

_SECONDS = [(f"{stage}_seconds", pa.float64()) for stage in ("compose", "render", "upload")]
SHEAF = pa.schema(
    [
        ("part", pa.int64()),  # its place in the plan's list of parts
        ("rows", pa.list_(ROW)),
        ("contents", pa.list_(pa.large_binary())),  # of the rows' files, one row after the other
        ("chorales", pa.int64()),  # that were composed: 0 for Bach's
        ("written", pa.int64()),  # of them, those of which a file was not there before
        *_SECONDS,  # that the stage was busy with the sheaf
    ]
)
Row = dict[str, Any]  # of the manifest; columns that are not known yet are left out


class Compose:
    """Composes parts; the checkpoint is loaded with the first one.

    Not in the constructor: of an actor that fails there, Ray tells the traceback's text alone, and
    tries again.
    """

    def __init__(self, plan: Plan, gpu: bool) -> None:
        self._plan, self._gpu = plan, gpu
        self._parts = plan.parts()

    @cached_property
    def _sampler(self) -> "Sampler":
        if not self._gpu:
            # Ray hides no GPU from an actor that reserves none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # One thread: sums are added up in one order, however many cores a machine has, and the
        # other cores are rendering.
        composer = TrainedComposer(self._plan.config.checkpoint, threads=1)
        return composer.sampler(batch_size=PART_SIZE, seed=self._plan.config.seed)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Parts, given by their place in the plan -> sheaves."""
        for place in table["part"].to_pylist():
            started = time.perf_counter()
            part = self._parts[place]
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
                        "chords": composition.chords.reshape(-1),
                        "nats_per_note": float(composition.nats[counted].mean(dtype=np.float64)),
                    }
                )
            seconds = (time.perf_counter() - started) / len(rows)
            for first in range(0, len(rows), _SHEAF):
                some = rows[first : first + _SHEAF]
                yield _table({"part": place, "rows": some, "compose_seconds": seconds * len(some)})


def render(table: pa.Table, plan: Plan) -> pa.Table:
    """A sheaf with the contents of all files, and with the figures of its chorales."""
    (sheaf,) = table.to_pylist()
    started = time.perf_counter()
    part = plan.parts()[sheaf["part"]]
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
    sheaf |= {"contents": contents, "render_seconds": time.perf_counter() - started}
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
        resumes: files may be there already, and are not put again if they have their size.
    """

    def __init__(self, store: Store, plan: Plan, resumes: bool) -> None:
        self._store, self._plan, self._resumes = store, plan, resumes
        self._parts = plan.parts()
        self._threads = ThreadPoolExecutor(_UPLOAD_THREADS)

    def __call__(self, table: pa.Table) -> pa.Table:
        """A sheaf without its contents, once they are stored."""
        started = time.perf_counter()
        (sheaf,) = table.drop_columns(["contents"]).to_pylist()
        contents = iter(table["contents"].combine_chunks().flatten())
        part = self._parts[sheaf["part"]]
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
        """Whether the file was not there before."""
        key, size = file["key"], file["size"]
        if self._resumes and self._store.size(key) == size:
            return False
        content_type = CONTENT_TYPES[key.rpartition(".")[2]]
        self._store.put(key, content.as_py(), content_type=content_type, metadata=metadata)
        return True


def sheaves(
    plan: Plan, places: list[int], store: Store, *, resumes: bool, samplers: int, gpu: bool
) -> Iterator[pa.Table]:
    """Compose, render and store some parts of a plan.

    Args:
        plan: of the run.
        places: of the parts, in the plan's list.
        store: of the run.
        resumes: see `Upload`.
        samplers: actors that compose, at most.
        gpu: each has a GPU.

    Returns:
        Tables of `SHEAF` without contents, as they come.
    """
    parts = ray.data.from_items(
        [{"part": place} for place in places], override_num_blocks=len(places)
    )
    # In bytes; a block, which is a task's worth, is then a single row: a part, or a sheaf.
    parts.context.target_max_block_size = 1
    uploads = max(1, int(ray.cluster_resources().get("CPU", 1)) // 2)
    stored = (
        parts.map_batches(
            Compose,
            fn_constructor_args=(plan, gpu),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(samplers, len(places))),
            num_cpus=_SAMPLER_CPUS,
            num_gpus=1 if gpu else 0,
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
            compute=ray.data.ActorPoolStrategy(size=min(uploads, len(places))),
            num_cpus=_UPLOAD_CPUS,
        )
    )
    tables: Iterator[pa.Table] = iter(stored.iter_batches(batch_size=None, batch_format="pyarrow"))
    return tables


def rows_of(sheaf: pa.Table) -> pa.Table:
    """The rows of the manifest in a sheaf."""
    return pa.Table.from_struct_array(sheaf["rows"].combine_chunks().flatten())


def _table(sheaf: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([sheaf], schema=SHEAF)
