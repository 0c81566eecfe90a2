"""Speed of composing: the book's way, and ours."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnray.benchmarks import matrix_limit
from rnnray.chorale import chorale_config
from rnnray.chorale.chords import HIGHEST_PITCH, LOWEST_PITCH, VOICE_COUNT
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import NONE
from rnnray.progress import say
from rnnray.training import strategy

if TYPE_CHECKING:
    from rnnray.chorale.sampler import Sampler

_BATCHES = (1, 64, 1024)
_GIVEN, _BOOK_CHORDS = 8, 16  # chords that the book is given, and that it composes
_RUNS = 3  # that are timed


def compose(chords: int) -> dict[str, float]:
    """Measure the notes/s of the book's model in five ways, and of the recommended model.

    Speed does not depend on the weights. Everything runs once before it is timed, so that no
    compilation is timed.

    Args:
        chords: length of the chorales that our sampler composes. The book's way goes over the whole
            piece again for each note, so that its speed falls with the length. It is timed over 16
            chords after 8 given ones, which flatters it.

    Returns:
        book: the book's `generate_chorale`, one `predict` a note; model_call: the same with
            `model(x)`; batch_1, batch_64, batch_1024: our sampler with that many chorales at once;
            strong_1024: the same of the preset `strong`.
    """
    strategy.configure_devices(0)
    import keras  # noqa: PLC0415  (seconds, as TensorFlow below)

    from rnnray.benchmarks import chorale_book  # noqa: PLC0415
    from rnnray.chorale.model import architectures  # noqa: PLC0415
    from rnnray.chorale.sampler import Sampler  # noqa: PLC0415

    keras.utils.set_random_seed(42)
    ours = architectures.build(chorale_config.notebook().model)
    theirs = chorale_book.composer()
    rates = {
        "book": _rate("book", partial(_book_notes, lambda x: theirs.predict(x, verbose=0))),
        "model_call": _rate("model_call", partial(_book_notes, lambda x: theirs(x).numpy())),
    }
    for size in _BATCHES:
        work = partial(_our_notes, Sampler(ours, batch_size=size), size, chords)
        rates[f"batch_{size}"] = _rate(f"batch_{size}", work)
    best = max(rates.values())
    strong = architectures.build(chorale_config.strong().model)
    sampler = Sampler(strong, batch_size=_BATCHES[-1])
    name = f"strong_{_BATCHES[-1]}"
    rates[name] = _rate(name, partial(_our_notes, sampler, _BATCHES[-1], chords))
    say(f"our best over the book's way: {best / rates['book']:,.0f} times")
    peak = matrix_limit.limit()
    for what, rate, model in (("our best", best, ours), ("strong", rates[name], strong)):
        share = rate * _multiply_adds(model) / peak
        say(f"{what} reaches {share:.1%} of the multiply-adds of a large matrix product here")
    say(f"one chorale of {chords} chords: {chords * VOICE_COUNT / rates['batch_1']:.2f} s")
    return rates


def _book_notes(probabilities: Callable[[Any], Any]) -> int:
    from rnnray.benchmarks import chorale_book  # noqa: PLC0415

    pitches = np.random.default_rng(0).integers(LOWEST_PITCH, HIGHEST_PITCH, (_GIVEN, VOICE_COUNT))
    chorale_book.generate_chorale(probabilities, pitches.astype(np.int16), _BOOK_CHORDS)
    return _BOOK_CHORDS * VOICE_COUNT


def _our_notes(sampler: "Sampler", count: int, chords: int) -> int:
    given = np.full(chords * VOICE_COUNT, NONE, np.int8)
    batches = sampler.compose([Request(given, index) for index in range(count)])
    return sum(composition.nats.size for batch in batches for composition in batch)


def tune(data: str, samples: int = 8, at_once: int = 2) -> dict[str, float]:
    """Measure the cost of a sweep beside its training: two epochs of the book's model a trial.

    Args:
        data: a corpus, see `rnnray.chorale.data.corpus.open_corpus`.
        samples: number of trials over the default search space.
        at_once: number of trials at the same time, with one CPU each.

    Returns:
        See `rnnray.benchmarks.sweep_cost.overhead`.
    """
    import ray  # noqa: PLC0415  (seconds, as Ray Tune below)

    from rnnray.benchmarks import sweep_cost  # noqa: PLC0415
    from rnnray.chorale import chorale_tuning  # noqa: PLC0415
    from rnnray.tuning import space  # noqa: PLC0415

    book = chorale_config.notebook().model_copy(update={"epochs": 2, "data": data})
    result = sweep_cost.overhead(
        chorale_tuning.ChoraleProblem(book, ray.put(open_corpus(data))),
        space.parse(chorale_tuning.SPACE, book, "the default space"),
        samples=samples,
        at_once=at_once,
    )
    say(
        f"a sweep takes {result['ratio']:.2f} times as long as the same {samples} runs by hand, "
        f"and {result['ratio_to_training']:.2f} times as long as their epochs"
    )
    say(
        f"time to the first step: {result['first_trials']:.1f} s in a new process (import of "
        f"TensorFlow, compilation), {result['later_trials']:.1f} s in a process that another "
        "trial used (compilation)"
    )
    return result


def _rate(name: str, work: Callable[[], int]) -> float:
    """Return the notes/s of a function that returns its number of notes; the best of some runs."""
    work()
    rates = []
    for _ in range(_RUNS):
        started = time.monotonic()
        notes = work()
        rates.append(notes / (time.monotonic() - started))
    say(f"{name}: {max(rates):,.0f} notes/s")
    return max(rates)


def _multiply_adds(composer: Any) -> float:
    """Return the multiply-adds of a note: one for each weight of a kernel, at each of its uses.

    The book's model uses each kernel once a note, ours once a chord, its LSTMs once a stride.
    """
    kernels = [w for w in composer.trainable_variables if "kernel" in w.path.rsplit("/", 1)[-1]]
    stride = getattr(composer, "stride", 1)
    uses = [1 / stride if "lstm" in kernel.path else 1.0 for kernel in kernels]
    total = sum(
        use * float(np.prod(kernel.shape)) for use, kernel in zip(uses, kernels, strict=True)
    )
    return total / VOICE_COUNT if hasattr(composer, "stride") else total
