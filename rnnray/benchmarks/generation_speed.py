"""Speed of composing and storing chorales: the book's way, and ours."""

import tempfile
import time
import uuid
from functools import partial
from pathlib import Path

import numpy as np
import ray

from rnnray.chorale import chorale_config
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.chords import HIGHEST_PITCH, LOWEST_PITCH, VOICE_COUNT
from rnnray.chorale.generation import folder, run
from rnnray.chorale.generation.generation_options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.plan import RUN
from rnnray.chorale.render.sound import synthesize
from rnnray.chorale.render.sound_files import wav_bytes
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.training import checkpoints, strategy
from rnnray.training.checkpoints import Position

_GIVEN = 8  # chords that the book is given
_BOOK_CHORALES = 2


def generate(
    count: int = 300, chords: int = 64, corpus: str = "jsb", s3: str | None = None
) -> dict[str, float | None]:
    """Measure chorales/s, from nothing to stored files, of the book's model with fresh weights.

    Speed does not depend on the weights, except for held notes: fresh weights hold few, and a score
    with more notes takes longer to write.

    Args:
        count: number of chorales in our way.
        chords: length of a chorale, the book's 8 given chords included.
        corpus: source of the excerpts by Bach that a run adds; see `open_corpus`.
        s3: an s3://bucket/prefix to write to as well; these files are deleted again.

    Returns:
        book: the book's `generate_chorale`, one after the other, and a wave file of plain sines of
            each, in memory; local: ours end to end, from the start of processes to the page, with
            all three formats and 40 excerpts of Bach, into a local folder; s3: the same into S3, or
            None.

    Raises:
        UserError: no such corpus, or the storage refuses.
    """
    with tempfile.TemporaryDirectory() as temporary:
        room = Path(temporary)
        rates: dict[str, float | None] = {"book": _book(chords, room / "checkpoint")}
        asked = GenerationConfig(
            checkpoint=str(room / "checkpoint"),
            temperatures=(1.0,),
            count=count,
            chords=chords,
            data=corpus,
        )
        rates["local"] = _ours("local", asked, str(room / "generated"))
        rates["s3"] = None if s3 is None else _ours("s3", asked, s3)
    for name in ("local", "s3"):
        if (rate := rates[name]) is not None:
            say(f"{name}: {rate / (rates['book'] or 1):,.0f} times the book's way")
    return rates


def _book(chords: int, checkpoint: Path) -> float:
    """Return the book's rate; also save a checkpoint of its model, for our way."""
    strategy.configure_devices(0)
    import keras  # noqa: PLC0415

    from rnnray.benchmarks import chorale_book  # noqa: PLC0415
    from rnnray.chorale.model import architectures  # noqa: PLC0415

    keras.utils.set_random_seed(42)
    preset = chorale_config.notebook()
    ours = architectures.build(preset.model)
    optimizer = keras.optimizers.SGD()
    optimizer.build(ours.trainable_variables)
    checkpoint.mkdir()
    files = ChoraleTask(preset).checkpoint_files()
    checkpoints.save(checkpoint, ours, optimizer, Position(), files)

    probabilities = partial(chorale_book.composer().predict, verbose=0)
    pitches = np.random.default_rng(0).integers(LOWEST_PITCH, HIGHEST_PITCH, (_GIVEN, VOICE_COUNT))
    given = pitches.astype(np.int16)
    chorale_book.generate_chorale(probabilities, given, 1)  # once, to compile
    started = time.monotonic()
    for _ in range(_BOOK_CHORALES):
        piece = chorale_book.generate_chorale(probabilities, given, max(1, chords - _GIVEN))
        composed = time.monotonic()
        wav_bytes(synthesize(piece, instrument="sine"))
    ended = time.monotonic()
    rate = _BOOK_CHORALES / (ended - started)
    say(f"book: {1 / rate:.1f} s a chorale, {ended - composed:.2f} s of it for its wave file")
    return rate


def _ours(name: str, asked: GenerationConfig, output: str) -> float:
    options = GenerationOptions(output=output, name=f"benchmark-{uuid.uuid4().hex}")
    try:
        made = run.generate(asked, options)
    finally:
        _delete(options)
    seconds = made.seconds
    rate = made.written / seconds["total"]
    cpus = ray.cluster_resources().get("CPU", 1)
    say(
        f"{name}: {rate:.1f} chorales/s; {seconds['total']:.1f} s in all, the first stored after "
        f"{seconds['first']:.1f}, the last after {seconds['pieces']:.1f}, the page took "
        f"{seconds['publish']:.1f}"
    )
    working = seconds["compose"] + seconds["render"]
    share = working / (cpus * seconds["pieces"])
    say(
        f"{name}: composing took {seconds['compose']:.1f} s of CPUs and rendering "
        f"{seconds['render']:.1f}, together {share:.0%} of the {cpus:g} CPUs' time; uploads took "
        f"{seconds['upload']:.1f} s, added up"
    )
    say(f"{name}: the driver's memory peaked at {made.driver_mib:,.0f} MiB")
    return rate


def _delete(options: GenerationOptions) -> None:
    store = folder.open_run(options)
    try:
        folder.clear(store)
        store.delete(RUN)
    except UserError as problem:
        # The error of the run itself, if there is one, must not be hidden.
        say(f"{store.uri}: files written there could not be deleted: {problem}")
