#!/usr/bin/env python3
"""Evaluate a checkpoint of the composer: every note of every piece counts exactly once.

The last line of the output is JSON: nats_per_note and accuracy over whole pieces (each note given
all notes before it), moving_accuracy (among the notes that differ from the same voice's a
sixteenth before), notes (their number), and book_loss and book_accuracy, measured as in the book:
in windows of 33 chords, 16 apart, each without what came before it.

With --keep bass the composer is given that voice of each piece and composes the others. The JSON
has same (share of the composed notes that are the piece's own), nats_per_note (of the piece's other
voices, given this one), and the critique of the composed and of the real pieces.
"""

from typing import Any, Literal, get_args

from pydantic import model_validator

from rnnray import job
from rnnray.chorale.composing_options import (
    PARTICLES_FOR_GIVEN,
    Checkpoint,
    Particles,
    Seed,
    VoiceName,
)
from rnnray.packaged import COMPOSER
from rnnray.progress import say


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: Checkpoint = COMPOSER
    data: str | None = None
    """Corpus, as in jobs/train_chorale.py; by default the one that the checkpoint was trained
    on."""
    split: Literal["train", "valid", "validation", "test"] = "test"
    """Split whose pieces are evaluated; valid is another name of validation."""
    keep: tuple[VoiceName, ...] = ()
    """Voices of each piece that are given; the composer composes the others."""
    particles: Particles = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _composes_with_what_is_given(self) -> "Options":
        if len(set(self.keep)) == len(get_args(VoiceName)):
            raise job.WrongUse("--keep names all four voices: none is left to compose")
        if self.particles and not self.keep:
            raise job.WrongUse("--particles are for --keep, which names no voice")
        return self


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray.chorale.chorale_evaluation import evaluate
    from rnnray.chorale.composer import TrainedComposer, read_checkpoint
    from rnnray.chorale.data import chorale_table
    from rnnray.chorale.data.reference import open_corpus_of
    from rnnray.chorale.harmonising import harmonise

    # A wrong checkpoint is told before the corpus is fetched.
    corpus = open_corpus_of(read_checkpoint(config.checkpoint), config.data)
    pieces = chorale_table.chords_of(chorale_table.select(corpus, config.split))
    say(f"evaluating {len(pieces)} pieces")
    composer = TrainedComposer(config.checkpoint)
    asked: dict[str, Any] = {"split": config.split, "checkpoint": config.checkpoint}
    if not config.keep:
        return evaluate(composer, pieces).as_dict() | asked
    options = {"particles": config.particles or PARTICLES_FOR_GIVEN, "seed": config.seed}
    return harmonise(composer, pieces, config.keep, **options).as_dict() | asked | options


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
