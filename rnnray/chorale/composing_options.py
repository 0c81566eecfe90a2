"""What a composition is asked: the options that several jobs have, with their ranges and help.

Imports nothing that computes, so that --help of those jobs takes no seconds.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, Field

# MIDI counts a quarter's microseconds in 24 bits: nothing slower than 3.58 quarters a minute.
SLOWEST, FASTEST = 4.0, 1000.0

RuleName = Literal[
    "parallels", "hidden", "crossing", "overlap", "spacing", "ranges", "leading-note"
]
STRICT = "strict"
MOST_NATS = 1000.0
"""What a rule without a number takes from a note's logit: nothing is likelier than breaking none,
and where every note breaks one, those that break the fewest are left."""
TemperatureOnName = Literal["pitch", "note"]

InstrumentName = Literal["organ", "choir", "sine"]

Checkpoint = Annotated[
    str, Field(description="Path or URI of a checkpoint folder (epoch-* in a run's folder).")
]
Temperatures = Annotated[
    tuple[Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)], ...], MinLen(1)
]
Count = Annotated[int, Ge(1), Field(description="Chorales at each temperature.")]
Chords = Annotated[int, Ge(1)]
TopP = Annotated[
    float,
    Gt(0),
    Le(1),
    Field(description="Draw from the likeliest notes only, whose probabilities add up to this."),
]
Seed = Annotated[int, Ge(0), Le(2**31 - 1), Field(description="Of all random choices.")]
TemperatureOn = Annotated[
    TemperatureOnName,
    Field(
        description="What temperature and top-p apply to: pitch, the choice of the pitch that a "
        "voice moves to, while it is held as often as the composer says; note, held notes too, so "
        "that little of a low temperature moves."
    ),
]


def rule_nats(texts: Iterable[str]) -> dict[RuleName, float]:
    """The nats of each rule that is not 0, of --rules; the last word on a rule counts.

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
SeedFrom = Annotated[
    str | None,
    Field(
        description="Begin with the first chords of a real chorale: test:2:8 is 8 chords of test:2."
    ),
]
Instrument = Annotated[
    InstrumentName,
    Field(description="Of the WAV: organ, choir, or the book's plain sine."),
]


def temperature_text(temperature: float) -> str:
    """A temperature as folders are named: 0.8, 1, 1.5; six digits count."""
    return f"{temperature + 0.0:g}"  # 0.0 and -0.0 are one


def twice(temperatures: Iterable[float]) -> bool:
    """Whether two temperatures would write into one folder."""
    texts = list(map(temperature_text, temperatures))
    return len(set(texts)) < len(texts)
