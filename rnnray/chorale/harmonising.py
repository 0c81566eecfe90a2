"""Evaluation of a composer that is given voices of real pieces: how well it composes the others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rnnray.chorale import tokens
from rnnray.chorale.chorale_evaluation import total_nats
from rnnray.chorale.chords import VOICE_COUNT, VOICES, Chords
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.composing_options import VoiceName
from rnnray.chorale.critique import Critique, critique
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import NONE
from rnnray.progress import Every, say


@dataclass(frozen=True)
class Harmonisation:
    """Composed voices beside those of the real pieces."""

    nats_per_note: float
    """Cost of a real piece's other notes, given the voices that are kept: nats. It is an estimate,
    too low on average: it takes the cost of the kept voices from the particles, which overestimate
    it the more the fewer they are.
    """
    same: float
    """Share of composed notes that are the real piece's; a note is one voice at one sixteenth."""
    composed: Critique
    """Statistics of the pieces with composed voices."""
    real: Critique
    """Statistics of the real pieces."""

    def as_dict(self) -> dict[str, object]:
        """Return the figures by name, for JSON."""
        return asdict(self)


def harmonise(
    composer: TrainedComposer,
    pieces: Sequence[Chords],
    keep: Sequence[VoiceName],
    *,
    particles: int,
    seed: int = 0,
) -> Harmonisation:
    """Compose the other voices of real pieces, with a line of progress every few seconds.

    Args:
        composer: composer of a checkpoint.
        pieces: chords int16 [n, 4] each.
        keep: the voices that are given, not all four.
        particles: see `rnnray.chorale.sampler.Sampler`.
        seed: seed of all random choices.
    """
    others = [VOICES.index(name) for name in VOICES if name not in keep]
    ordered = sorted(pieces, key=len)  # a batch is as long as its longest piece
    requests = []
    for index, chords in enumerate(ordered):
        given = tokens.to_tokens(chords).reshape(-1, VOICE_COUNT).copy()
        given[:, others] = NONE
        requests.append(Request(given.reshape(-1), index))
    sampler = composer.sampler(seed=seed, particles=particles)
    composed = []
    progress = Every()
    for batch in sampler.compose(requests):
        composed += batch
        if progress():
            say(f"harmonised {len(composed)} of {len(pieces)} pieces")
    same = [
        (one.chords == chords)[:, others].ravel()
        for one, chords in zip(composed, ordered, strict=True)
    ]
    kept = sum(one.given_nats for one in composed)
    notes = sum(map(len, same))
    return Harmonisation(
        nats_per_note=(total_nats(composer, ordered) - kept) / notes,
        same=float(np.concatenate(same).mean()),
        composed=critique([one.chords for one in composed]),
        real=critique(ordered),
    )
