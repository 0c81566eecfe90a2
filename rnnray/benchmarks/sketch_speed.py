"""Speed of reading drawings and of training on them, beside the book's way, in one run.

Rates depend on the machine and its load; compare only rates of the same run.
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import ray.data

from rnnray.benchmarks import matrix_limit, sketch_book
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.sketch import sketch_config
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.drawings import Drawings, FilePart
from rnnray.sketch.data.ink import ink_to_strokes
from rnnray.sketch.data.prepare import prepare
from rnnray.sketch.data.training_drawings import training_data
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training import driver, strategy
from rnnray.training.batches import Feed, epoch_batches
from rnnray.training.rows import Blocks, TrainingData, mixed, read
from rnnray.training.training_options import RunOptions
from rnnray.training.worker import resident_mib

RECOMMENDED_BATCH = 256
_SAMPLE_SECONDS = 1.0
_EPOCHS = 3
_SOME = 10_000


def ingest(data: str, count: int) -> dict[str, float]:
    """Measure the drawings/s into padded training batches, each way over the same shards.

    Every way runs once before it is timed, so that processes are up and files are cached. The time
    is from the request for the first batch to the last one. The book's pipeline makes its batches
    of 32. Ours makes the recommended 256 and mixes the drawings before: that is its first epoch.
    Later epochs take the drawings from Ray's object store.

    Args:
        data: a folder of the tutorial's shards, or `demo:COUNT`, of which shards are made.
        count: number of drawings to read in each way, the shards several times if needed; the slow
            reader reads fewer.

    Returns:
        book, ray_read_tfrecords, tfrecords, parquet, ndjson, later_epochs: drawings/s.
    """
    with tempfile.TemporaryDirectory() as folder:
        drawings = _as_shards(data, folder)
        shards = _paths(drawings)
        say("preparing Parquet of the same drawings")
        prepare(drawings, f"{folder}/parquet")
        parquet = open_drawings(f"{folder}/parquet")
        say("writing ndjson of the same drawings")
        _write_ndjson(drawings, Path(folder) / "ndjson")
        ndjson = open_drawings(f"{folder}/ndjson")
        times = max(1, round(count / drawings.count("train")))
        task = SketchTask(sketch_config.notebook(), drawings.class_names)
        stored = training_data(drawings, task.config).training
        rates = {
            "book": _rate("book", lambda n: _book_batches(shards * n), times),
            "ray_read_tfrecords": _rate(
                "ray_read_tfrecords", lambda _: _builtin_batches(shards[:1], task), 1
            ),
            "tfrecords": _rate("tfrecords", lambda n: _our_batches(drawings, task, n), times),
            "parquet": _rate("parquet", lambda n: _our_batches(parquet, task, n), times),
            "ndjson": _rate("ndjson", lambda n: _our_batches(ndjson, task, n), times),
            "later_epochs": _rate("later_epochs", lambda n: _later_batches(stored, task, n), times),
        }
    _compare("tfrecords over ray_read_tfrecords", rates["tfrecords"] / rates["ray_read_tfrecords"])
    _compare("tfrecords over the book's pipeline", rates["tfrecords"] / rates["book"])
    _compare("parquet over the book's pipeline", rates["parquet"] / rates["book"])
    _compare("later epochs over the book's pipeline", rates["later_epochs"] / rates["book"])
    _compare("ndjson over the book's pipeline", rates["ndjson"] / rates["book"])
    return rates


def train(data: str) -> dict[str, float]:
    """Measure the sketches/s of training: the book's `fit`, our loop on Ray, and `strong`.

    `fit` runs with the book's settings (batch 32). Ours runs with batches of 256, on one worker
    with all cores and on two workers with half of them each. Each runs three epochs. The book's
    rate is that of its best epoch; ours is that of the better one of the last two, waiting
    included. `strong` trains on some of the drawings, with and without its bitmap branch.

    Args:
        data: a folder of the tutorial's shards, or `demo:COUNT`, of which shards are made.

    Returns:
        book, one_worker, two_workers: sketches/s; waiting_share: the larger one of both of ours;
        strong, strong_without_bitmap: sketches/s of one worker; strong_limit_share: multiply-adds
        of `strong` as a share of those of a large matrix product.
    """
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        drawings = _as_shards(data, folder)
        count = drawings.count("train")
        strategy.quiet_tensorflow()
        say(
            f"the book's fit: {_EPOCHS} epochs of {count:,} sketches, "
            f"batch {sketch_book.BATCH_SIZE}"
        )
        rates = sketch_book.fit_rates(_paths(drawings), len(drawings.class_names), count, _EPOCHS)
        say(f"    {', '.join(f'{rate:,.0f}' for rate in rates)} sketches/s")
        results["book"] = max(rates)
        ours = sketch_config.notebook().model_copy(
            update={
                "epochs": _EPOCHS,
                "global_batch_size": RECOMMENDED_BATCH,
                "data": data,
            }
        )
        data_read = training_data(drawings, ours)
        waiting = []
        for name, workers in (("one_worker", 1), ("two_workers", 2)):
            say(f"our loop: batch {RECOMMENDED_BATCH}, {workers} worker(s)")
            task = SketchTask(ours, drawings.class_names)
            best = _best_epoch(task, data_read, folder, name, workers)
            results[name] = best["per_second"]
            waiting.append(best["waiting_share"])
        results["waiting_share"] = max(waiting)
        some = TrainingData(_some(data_read.training), _some(data_read.validation))
        for name, bitmap in (("strong", {}), ("strong_without_bitmap", {"size": 0})):
            say(f"{name}: {_EPOCHS} epochs of {some.training.rows:,} sketches")
            task = SketchTask(_strong(data, bitmap), drawings.class_names)
            results[name] = _best_epoch(task, some, folder, name, 1)["per_second"]
    task = SketchTask(_strong(data, {}), drawings.class_names)
    points = task.config.model.max_points
    adds = matrix_limit.multiply_adds(task.build_model(unroll=True), RECOMMENDED_BATCH, points, 3)
    # The gradients of inputs and weights take as many each.
    results["strong_limit_share"] = 3 * adds * results["strong"] / matrix_limit.limit()
    _compare("one worker over the book's fit", results["one_worker"] / results["book"])
    _compare("two workers over one", results["two_workers"] / results["one_worker"])
    say(f"waiting for data: {results['waiting_share']:.1%}")
    say(f"strong reaches {results['strong_limit_share']:.1%} of a large matrix product's speed")
    bitmap_share = 1 - results["strong"] / results["strong_without_bitmap"]
    say(f"the bitmap branch takes {bitmap_share:.1%} of a step of strong")
    return results


def _best_epoch(
    task: SketchTask, data: TrainingData, folder: str, name: str, workers: int
) -> dict[str, float]:
    """Return the metrics of the fastest epoch after the first, which compiles."""
    options = RunOptions(storage_path=f"{folder}/runs", name=name, workers=workers)
    history = driver.train(task, task.config, options, data).history
    return max(history[1:], key=lambda metrics: metrics["per_second"])


def _strong(data: str, bitmap: dict[str, int]) -> SketchConfig:
    config = sketch_config.strong()
    model = config.model.model_copy(
        update={"bitmap": config.model.bitmap.model_copy(update=bitmap)}
    )
    return config.model_copy(update={"epochs": _EPOCHS, "data": data, "model": model})


def _some(blocks: Blocks) -> Blocks:
    """Return the first blocks, with `_SOME` drawings at least if there are as many."""
    count = 1 + sum(total < _SOME for total in accumulate(blocks.counts))
    return Blocks(blocks.tables[:count], blocks.counts[:count])


def memory(data: str, workers: int = 2) -> dict[str, float]:
    """Measure the training workers' resident memory over one epoch of the book's model, in MiB.

    Sampled from outside, for workers on this machine. Shared memory is left out: it is Ray's object
    store, which holds the data, bounded and spilled to disk.

    Args:
        data: source of many drawings, such as `demo:1000000`.
        workers: number of training workers.

    Returns:
        peak: the most that any worker held; early and late: the most in the second and in the
            fourth fifth of the run (the last one has the validation); drawings: their number.
    """
    drawings = open_drawings(data)
    ours = sketch_config.notebook().model_copy(
        update={"epochs": 1, "global_batch_size": RECOMMENDED_BATCH, "data": data}
    )
    count = drawings.count("train")
    samples: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            held = _resident_mib_of("ray::RayTrainWorker")
            if held:
                samples.append(max(held))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    with tempfile.TemporaryDirectory() as folder:
        driver.train(
            SketchTask(ours, drawings.class_names),
            ours,
            RunOptions(storage_path=folder, name="memory", workers=workers),
            training_data(drawings, ours),
        )
    ended.set()
    sampler.join()
    fifth = len(samples) // 5
    result = {
        "peak": max(samples),
        "early": max(samples[fifth : 2 * fifth]),
        "late": max(samples[3 * fifth : 4 * fifth]),
    }
    for name, mib in result.items():
        say(f"{name}: {mib:,.0f} MiB")
    return {**result, "drawings": count}


def _resident_mib_of(title: str) -> list[float]:
    """Return the unshared resident memory, MiB, of processes whose titles begin with `title`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "cmdline").read_text().startswith(title):
                found.append(resident_mib(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process has just ended
    return found


def _as_shards(data: str, folder: str) -> Drawings:
    drawings = open_drawings(data)
    if data.startswith("demo"):
        say("writing TFRecord shards of generated drawings")
        prepare(drawings, f"{folder}/tfrecords", file_format="tfrecords")
        return open_drawings(f"{folder}/tfrecords")
    if not all(
        isinstance(p, FilePart) and p.format == "tfrecords" for p in drawings.parts("train")
    ):
        raise UserError(
            f"{data}: the benchmark compares ways to read TFRecords; use TFRecord shards"
        )
    return drawings


def _write_ndjson(drawings: Drawings, folder: Path) -> None:
    """Write the train split as simplified drawings, a file for each of its parts."""
    (folder / "train").mkdir(parents=True)
    for number, part in enumerate(drawings.parts("train")):
        with (folder / "train" / f"{number:05d}.ndjson").open("w") as stream:
            for rows in part.tables(origin=False, on_bad=None):
                indices = rows["class_index"].to_pylist()
                for ink, index in zip(sketch_table.inks_of(rows), indices, strict=True):
                    strokes = ink_to_strokes(ink)
                    lower = np.concatenate(strokes, axis=1).min(axis=1, keepdims=True)
                    drawing = [np.rint(255 * (xy - lower)).astype(int).tolist() for xy in strokes]
                    line = {"word": drawings.class_names[index], "drawing": drawing}
                    stream.write(f"{json.dumps(line)}\n")


def _paths(drawings: Drawings) -> list[str]:
    return [part.path for part in drawings.parts("train") if isinstance(part, FilePart)]


def _rate(name: str, batches: Callable[[int], Iterable[int]], times: int) -> float:
    """Return the rows/s of an iterable of batch sizes, the second time it is made."""
    say(f"{name}: warming up")
    for _ in batches(1):
        pass
    started = time.monotonic()
    iterator = iter(batches(times))
    rows = next(iterator)
    first = time.monotonic() - started
    rows += sum(iterator)
    seconds = time.monotonic() - started
    say(f"{name}: {rows:,} drawings, {rows / seconds:,.0f} a second, first batch in {first:.2f} s")
    return rows / seconds


def _book_batches(shards: list[str]) -> Iterator[int]:
    strategy.quiet_tensorflow()
    for ink, _ in sketch_book.pipeline(shards):
        yield len(ink)


def _builtin_batches(shards: list[str], task: SketchTask) -> Iterator[int]:
    points = task.config.model.max_points
    for batch in ray.data.read_tfrecords(shards).iter_batches(batch_size=RECOMMENDED_BATCH):
        padded = np.zeros((len(batch["ink"]), points, 3), np.float32)
        for row, ink in zip(padded, batch["ink"], strict=True):
            drawn = np.asarray(ink, np.float32).reshape(-1, 3)[:points]
            row[: len(drawn)] = drawn
        yield len(padded)


def _our_batches(drawings: Drawings, task: SketchTask, times: int) -> Iterator[int]:
    """Yield the batches of a first epoch: drawings are read, mixed, and made batches."""
    parts = {"train": drawings.parts("train") * times}
    dataset = Drawings(drawings.data, drawings.class_names, parts).dataset("train")
    yield from _later_batches(mixed(read(dataset, "drawings"), seed=0), task, 1)


def _later_batches(blocks: Blocks, task: SketchTask, times: int) -> Iterator[int]:
    """Yield the batches of epochs after the first, from drawings in Ray's object store."""
    pool = task.config.shuffle_rows
    for epoch in range(times):
        shares = partial(
            epoch_batches, blocks, batch_rows=RECOMMENDED_BATCH, pool_rows=pool, seed=(0, epoch)
        )
        feed = Feed(task, shares, padded_rows=RECOMMENDED_BATCH)
        while (batch := feed.take()) is not None:
            yield int(batch.weights.sum())
        if feed.error is not None:
            raise feed.error


def _compare(what: str, ratio: float) -> None:
    say(f"{what}: {ratio:.2f} times")
