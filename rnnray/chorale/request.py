"""A sampler's requests and results."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import Chords


@dataclass(frozen=True)
class Request:
    """A chorale to be composed."""

    given: npt.NDArray[np.int8]
    """Tokens int8 [4n], S A T B of each chord; -1 for notes to compose."""
    index: int = 0
    """Number that determines, with the sampler's seed, every random choice."""
    temperature: float = 1.0
    """Temperature: 1 uses the composer's own probabilities, lower is tamer, higher is wilder; 0
    always takes the most probable note, held ones too.
    """
    top_p: float = 1.0
    """Share of probability to draw from: that of the most probable notes, as few as add up to it at
    the temperature (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019).
    """
    bar_position: int = 0
    """Sixteenths from the last bar line to the first chord, 0 to 15 (in bars of 16)."""


@dataclass(frozen=True)
class Composition:
    """A composed chorale."""

    chords: Chords
    """int16 [n, 4]."""
    nats: npt.NDArray[np.float32]
    """Cost of each note, given ones included, at temperature 1: nats, float32 [4n]."""
    given_nats: float = 0.0
    """Cost of all given notes together, whatever the composed ones are, in nats; an estimate from
    the particles, of which a single one gives the cost beside its own composed notes."""
