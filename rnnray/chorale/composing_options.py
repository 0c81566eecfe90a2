"""The types of the options of composing jobs, such as seed and temperatures, with their ranges.

The module imports nothing that computes, so that --help of those jobs is fast.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, Field

# MIDI counts a quarter's microseconds in 24 bits: the slowest tempo is 3.58 quarters a minute.
SLOWEST, FASTEST = 4.0, 1000.0

RuleName = Literal[
    "parallels", "hidden", "crossing", "overlap", "spacing", "ranges", "leading-note"
]
STRICT = "strict"
MOST_NATS = 1000.0
"""Penalty, in nats, of a rule without a number. Notes that break a rule are drawn only where every
note breaks one, and then those that break the fewest."""
TemperatureOnName = Literal["pitch", "note"]
EndingName = Literal["tonic", "any"]
VoiceName = Literal["soprano", "alto", "tenor", "bass"]

InstrumentName = Literal["organ", "choir", "sine"]
SoundName = Literal["wav", "flac", "ogg"]

Checkpoint = Annotated[
    str,
    Field(
        description="Path or URI of a checkpoint folder (epoch-* in a run's folder); bach is the "
        "composer that comes with the package."
    ),
]
Temperatures = Annotated[
    tuple[Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)], ...], MinLen(1)
]
Count = Annotated[int, Ge(1), Field(description="Number of chorales at each temperature.")]
Chords = Annotated[int, Ge(1)]
TopP = Annotated[
    float,
    Gt(0),
    Le(1),
    Field(description="Draw only from the likeliest notes whose probabilities add up to this."),
]
Seed = Annotated[int, Ge(0), Le(2**31 - 1), Field(description="Seed of all random choices.")]
TemperatureOn = Annotated[
    TemperatureOnName,
    Field(
        description="Choices that temperature and top-p apply to: pitch, the pitch that a voice "
        "moves to, while notes are held as often as the composer says; note, held notes too, so "
        "that music of a low temperature hardly moves."
    ),
]


def rule_nats(texts: Iterable[str]) -> dict[RuleName, float]:
    """Return the nats of each rule of --rules that has any; the last mention of a rule counts.

    Raises:
        ValueError: no such rule, or no number from 0 to 1000.
    """
    nats: dict[RuleName, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        names = [rule for rule in get_args(RuleName) if name in (rule, STRICT)]
        try:
            weight = float(number) if equals else MOST_NATS
        except ValueError:
            weight = -1.0
        if not names or not 0 <= weight <= MOST_NATS:
            raise ValueError(
                f"{text}: write {STRICT} or {', '.join(get_args(RuleName))}, and after it "
                f"perhaps = and nats from 0 to {MOST_NATS:g}"
            )
        nats |= dict.fromkeys(names, weight)
    return {name: weight for name, weight in nats.items() if weight}


def _known(texts: tuple[str, ...]) -> tuple[str, ...]:
    rule_nats(texts)
    return texts


RuleTexts = Annotated[
    tuple[str, ...],
    AfterValidator(_known),
    Field(
        description="Rules of voice leading to compose by: strict for all, or some of "
        f"{', '.join(get_args(RuleName))}. One by its name alone is broken only where every note "
        "breaks a rule; crossing=2 makes notes that break it unlikelier by 2 nats, and crossing=0 "
        "leaves it out of strict."
    ),
]
Particles = Annotated[
    Annotated[int, Ge(1), Le(1024)] | None,
    Field(
        description="Number of drafts of each chorale, of which those that fit the given voices "
        "survive: more sound better, and take longer. With 1 the composer does not hear a given "
        "note before it has composed those above it and before it. By default 32, or 8 if no voice "
        "is given."
    ),
]
PARTICLES_FOR_GIVEN, PARTICLES_FOR_ENDING = 32, 8
"""Numbers of particles by default: for given notes, and for nothing but a good ending."""
Ending = Annotated[
    EndingName,
    Field(
        description="tonic: write several drafts of each chorale, and take one that ends on the "
        "tonic chord of its key, if there is one; any: take what the composer writes."
    ),
]
BarRange = tuple[int, int]
"""The first and the last of some bars, from 1."""


def bar_range(text: str) -> BarRange:
    """Return the bars of --open-bars.

    Raises:
        ValueError: not a bar or two, the first not after the last.
    """
    found = re.fullmatch(r"(\d+)(?::(\d+))?", text, re.ASCII)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 0 < first <= last:
        raise ValueError(f"{text}: write a bar, such as 3, or the first and the last, such as 3:6")
    return first, last


def _bars(text: str | None) -> str | None:
    if text is not None:
        bar_range(text)
    return text


OpenBars = Annotated[
    str | None,
    AfterValidator(_bars),
    Field(
        description="Bars that are composed anew in all voices, such as 3:6 for the third to the "
        "sixth; the melody's file gives what stands around them. The bar of an upbeat is the first."
    ),
]
SeedFrom = Annotated[
    str | None,
    Field(description="Opening of a real chorale: test:2:8 is the first 8 chords of test:2."),
]
Instrument = Annotated[
    InstrumentName,
    Field(description="Instrument of the sound files: organ, choir, or the book's plain sine."),
]
Sounds = Annotated[
    tuple[SoundName, ...],
    MinLen(1),
    Field(
        description="Sound files of each chorale: wav; flac, the same samples in fewer bytes; ogg, "
        "lossy and the smallest."
    ),
]


def temperature_text(temperature: float) -> str:
    """Return a temperature as in folder names: 0.8, 1, 1.5, with up to six digits."""
    return f"{temperature + 0.0:g}"  # -0.0 becomes 0.0


def twice(temperatures: Iterable[float]) -> bool:
    """Return whether two temperatures would write into one folder."""
    texts = list(map(temperature_text, temperatures))
    return len(set(texts)) < len(texts)
