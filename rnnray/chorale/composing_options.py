"""What a composition is asked: the options that several jobs have, with their ranges and help.

Imports nothing that computes, so that --help of those jobs takes no seconds.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field

# MIDI counts a quarter's microseconds in 24 bits: nothing slower than 3.58 quarters a minute.
SLOWEST, FASTEST = 4.0, 1000.0

InstrumentName = Literal["organ", "choir", "sine"]

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
Count = Annotated[int, Ge(1), Field(description="Chorales at each temperature.")]
Chords = Annotated[int, Ge(1)]
TopP = Annotated[
    float,
    Gt(0),
    Le(1),
    Field(description="Draw from the likeliest notes only, whose probabilities add up to this."),
]
Seed = Annotated[int, Ge(0), Le(2**31 - 1), Field(description="Of all random choices.")]
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
