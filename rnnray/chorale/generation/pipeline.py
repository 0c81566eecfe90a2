"""Parts -> chorales -> files -> stored files, as a Ray Data pipeline.

Each stage has its own size. Samplers are actors that have loaded the checkpoint, rendering is tasks
that keep the CPUs busy, and uploads wait for the storage with a few threads each. Between the
stages pass batches of a few chorales (`BATCH`); rows of the manifest return to the driver.
"""

import hashlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray.data

from rnnray import cluster, reach
from rnnray.artifacts import Store
from rnnray.chorale.chords import VOICE_COUNT
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.composing_options import PARTICLES_FOR_ENDING, rule_nats
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.manifest import ROW, statistics_of
from rnnray.chorale.generation.plan import CONTENT_TYPES, Plan, file_contents, model_digest
from rnnray.chorale.tokens import NONE
from rnnray.errors import UserError

if TYPE_CHECKING:
    from rnnray.chorale.sampler import Sampler

# Limits of a batch: about 20 MB of files.
_BATCH_CHORALES, _BATCH_SECONDS = 8, 100

# Rendering limits the speed of a run. It gets two tasks a CPU: one often waits for its turn, and
# Ray Data reserves a third of the CPUs for the stages that need few.
_SAMPLER_CPUS, _RENDER_CPUS, _UPLOAD_CPUS = 0.25, 0.5, 0.05
_UPLOAD_THREADS = 8
_CPUS_A_SAMPLER = 8  # composing costs a tenth of rendering

_SECONDS = [(f"{stage}_seconds", pa.float64()) for stage in ("compose", "render", "upload")]
BATCH = pa.schema(
    [
        ("part", pa.int64()),  # index in the plan's list of parts
        ("rows", pa.list_(ROW)),
        # content of the rows' files, one row after the other
        ("contents", pa.list_(pa.large_binary())),
        ("chorales", pa.int64()),  # number of composed chorales: 0 for Bach's
        ("written", pa.int64()),  # number of those with a file that did not exist before
        *_SECONDS,  # CPU time for composing and rendering, wall time for uploading
    ]
)
Row = dict[str, Any]  # a row of the manifest, without the columns that are not known yet


class Compose:
    """Actor that composes parts.

    It loads the checkpoint with the first part, not in the constructor: of a failure there, Ray
    passes on only the text, and starts the actor again.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @cached_property
    def _sampler(self) -> "Sampler":
        checkpoint = self._plan.config.checkpoint
        # One thread: sums are added in the same order on any number of cores, and the other cores
        # are rendering.
        composer = TrainedComposer(checkpoint, threads=1, needs_gpu=self._plan.device == "gpu")
        # After loading, so that the digest is that of the loaded model or of a newer one.
        if model_digest(checkpoint) != self._plan.model:
            raise UserError(
                f"{checkpoint}: on {socket.gethostname()} is not the model that the run began "
                "with; use storage that all nodes share, and leave the checkpoint unchanged "
                "during the run"
            )
        config = self._plan.config
        return composer.sampler(
            batch_size=self._plan.part_size,
            seed=config.seed,
            rules=rule_nats(config.rules),
            temperature_on=config.temperature_on,
            particles=PARTICLES_FOR_ENDING if config.ending == "tonic" else 1,
            ending=config.ending,
        )

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Compose parts, given by their index in the plan, into batches."""
        for part_index in table["part"].to_pylist():
            started = time.process_time()
            part = self._plan.part(part_index)
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
            size = batch_size(self._plan.config)
            for first in range(0, len(rows), size):
                some = rows[first : first + size]
                yield _table(
                    {"part": part_index, "rows": some, "compose_seconds": seconds * len(some)}
                )


def batch_size(config: GenerationConfig) -> int:
    """Return the most chorales in a batch: fewer if they are long, since it holds their sound."""
    seconds = config.chords * 15 / config.tempo
    return max(1, min(_BATCH_CHORALES, int(_BATCH_SECONDS / seconds)))


def render(table: pa.Table, plan: Plan) -> pa.Table:
    """Return a batch with the contents of all files, and with the statistics of its chorales."""
    started = time.process_time()
    (batch,) = table.to_pylist()
    part = plan.part(batch["part"])
    contents: list[bytes] = []
    for row in batch["rows"]:
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
        row.update(statistics_of(chords))
    batch |= {"contents": contents, "render_seconds": time.process_time() - started}
    return _table(batch)


class Upload:
    """Actor that puts the files of batches into the store.

    Args:
        store: store of the run.
        plan: plan of the run.
        resumes: whether files may exist already. They are put again only if their content differs:
            all WAVs of a run have the same size, and other versions or devices may have written
            these.
    """

    def __init__(self, store: Store, plan: Plan, resumes: bool) -> None:
        self._store, self._plan, self._resumes = store, plan, resumes
        self._threads = ThreadPoolExecutor(_UPLOAD_THREADS)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Store the files of a batch; return the batch without their contents."""
        started = time.perf_counter()
        (batch,) = table.drop_columns(["contents"]).to_pylist()
        contents = iter(table["contents"].combine_chunks().flatten())
        part = self._plan.part(batch["part"])
        puts = [
            [
                self._threads.submit(
                    self._put, file, next(contents), self._plan.metadata(part, row["index"])
                )
                for file in row["files"]
            ]
            for row in batch["rows"]
        ]
        written = [[put.result() for put in files] for files in puts]
        composed = part.temperature is not None
        batch |= {
            "chorales": len(puts) if composed else 0,
            "written": sum(map(any, written)) if composed else 0,
            "upload_seconds": time.perf_counter() - started,
        }
        return _table(batch)

    def _put(self, file: dict[str, Any], content: pa.Scalar, metadata: dict[str, str]) -> bool:
        """Store a file unless it exists with this content; return whether it was stored."""
        key = file["key"]
        if self._resumes and self._store.sha256(key) == file["sha256"]:
            return False
        content_type = CONTENT_TYPES[key.rpartition(".")[2]]
        self._store.put(key, content.as_py(), content_type=content_type, metadata=metadata)
        return True


def batches(
    plan: Plan, part_indices: list[int], store: Store, *, resumes: bool, samplers: int | None
) -> Iterator[pa.Table]:
    """Compose, render and store some parts of a plan.

    Args:
        plan: plan of the run.
        part_indices: indices of the parts in the plan's list.
        store: store of the run.
        resumes: see `Upload`.
        samplers: the most composing actors; by default one a GPU, or one for eight CPUs.

    Returns:
        Batches, `BATCH` without contents, as they are finished.
    """
    parts = ray.data.from_items(
        [{"part": index} for index in part_indices], override_num_blocks=len(part_indices)
    )
    # One byte, so that each block, the input of a task, has a single row: a part or a batch.
    parts.context.target_max_block_size = 1
    stored = (
        parts.map_batches(
            Compose,
            fn_constructor_args=(plan,),
            batch_size=1,
            batch_format="pyarrow",
            compute=sampler_pool(plan, len(part_indices), samplers),
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
            compute=upload_pool(len(part_indices)),
            num_cpus=_UPLOAD_CPUS,
        )
    )
    tables: Iterator[pa.Table] = iter(stored.iter_batches(batch_size=None, batch_format="pyarrow"))
    return tables


def sampler_pool(plan: Plan, parts: int, samplers: int | None) -> ray.data.ActorPoolStrategy:
    """Return a pool that begins with one sampler.

    It grows to at most `samplers`, and at most one a part. The default of `samplers` is one a GPU,
    or one for eight CPUs, of all nodes that the cluster may start.

    Args:
        plan: plan of the run.
        parts: number of parts to compose.
        samplers: the most samplers; None for the default.
    """
    if samplers is None:
        gpu = plan.device == "gpu"
        samplers = int(cluster.most("GPU") if gpu else cluster.most("CPU") / _CPUS_A_SAMPLER)
    return ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(samplers, parts)))


def upload_pool(parts: int) -> ray.data.ActorPoolStrategy:
    """Return a pool of one uploader for every two CPUs of the cluster, even after it has grown."""
    now, most = (
        max(1, min(int(cpus / 2), parts))
        for cpus in (ray.cluster_resources().get("CPU", 0), cluster.most("CPU"))
    )
    return ray.data.ActorPoolStrategy(min_size=now, max_size=max(now, most))


def rows_of(batch: pa.Table) -> pa.Table:
    """Return the rows of the manifest in a batch."""
    return pa.Table.from_struct_array(batch["rows"].combine_chunks().flatten())


def _table(batch: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([batch], schema=BATCH)
