"""The options of a composition that several jobs share, with their ranges and help.

Imports nothing that computes, so that --help of those jobs is fast.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field

# MIDI counts a quarter's microseconds in 24 bits: the slowest tempo is 3.58 quarters a minute.
SLOWEST, FASTEST = 4.0, 1000.0

InstrumentName = Literal["organ", "choir", "sine"]

Checkpoint = Annotated[
    str, Field(description="Path or URI of a checkpoint folder (epoch-* in a run's folder).")
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
SeedFrom = Annotated[
    str | None,
    Field(description="Opening of a real chorale: test:2:8 is the first 8 chords of test:2."),
]
Instrument = Annotated[
    InstrumentName,
    Field(description="Instrument of the WAV file: organ, choir, or the book's plain sine."),
]


def temperature_text(temperature: float) -> str:
    """Return a temperature as in folder names: 0.8, 1, 1.5, with up to six digits."""
    return f"{temperature + 0.0:g}"  # -0.0 becomes 0.0


def twice(temperatures: Iterable[float]) -> bool:
    """Return whether two temperatures would write into one folder."""
    texts = list(map(temperature_text, temperatures))
    return len(set(texts)) < len(texts)
