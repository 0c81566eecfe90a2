#!/usr/bin/env python3
"""Compose chorales: to listen to (WAV, MIDI), to read (MusicXML, SVG), to look at (PNG).

Files go to OUTPUT/temperature=T/INDEX.*, and how often each pitch was composed, beside how often
Bach wrote it, to OUTPUT/pitches.png. A chorale depends on the checkpoint, the seed and its
index alone. With --melody the composer keeps the voices of a file and writes the others. The last
line of the output is JSON: the files, and for each temperature the critique: parallels, crossing,
spacing and so on, beside Bach's own figures, and what the notes cost the composer (nats per note).
"""

from typing import Annotated, Any, Literal

import tyro
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field, model_validator

from rnnray import job, storage
from rnnray.chorale import composing
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.generation.options import twice
from rnnray.chorale.given import given_tokens, read_melody
from rnnray.chorale.midi import check_tempo
from rnnray.chorale.reference import read_reference
from rnnray.chorale.sound import InstrumentName, check_length

_DEFAULT_CHORDS = 64
Temperature = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: str
    """Path or URI of a checkpoint folder (epoch-* in a run's folder)."""
    output: str = "composed"
    """Folder or URI to write to."""
    temperatures: Annotated[tuple[Temperature, ...], MinLen(1)] = (1.0,)
    """1 takes the composer at its word, less is tamer, more is wilder, 0 is --greedy."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The likeliest note each time, as the book's first version; instead of --temperatures."""
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    """Draw from the likeliest notes only, whose probabilities add up to this."""
    count: Annotated[int, Ge(1)] = 1
    """Chorales at each temperature."""
    chords: Annotated[int, Ge(1)] | None = None
    """Length in chords (sixteenths), what is given included; by default 64, or the melody's."""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """Of all random choices."""
    seed_from: str | None = None
    """Begin with the first chords of a real chorale: test:2:8 is 8 chords of test:2."""
    data: str | None = None
    """Corpus for --seed-from and for Bach's statistics; as in jobs/train_chorale.py. By default
    the one of the checkpoint, which carries its statistics, so that it is read for --seed-from
    only."""
    melody: str | None = None
    """MIDI, MusicXML, Humdrum or CSV file with voices to keep; the composer writes the others.
    Silence before the first note says where in its bar the melody begins."""
    keep: Annotated[tuple[Literal["soprano", "alto", "tenor", "bass"], ...], MinLen(1)] = (
        "soprano",
    )
    """Which voices the melody's file gives, highest first; of a file of four, those are taken."""
    transpose: Annotated[int, Ge(-127), Le(127)] = 0
    """Semitones by which the melody is moved before it is harmonised; 12 is an octave up."""
    tempo: float = 80.0
    """Quarter notes a minute."""
    instrument: InstrumentName = "organ"
    """Of the WAV: organ, choir, or the book's plain sine."""

    @model_validator(mode="after")
    def _each_temperature_once(self) -> "Options":
        if self.greedy and self.temperatures != (1.0,):
            raise job.WrongUse("--greedy and --temperatures exclude each other")
        if twice(self.temperatures):
            raise job.WrongUse("--temperatures names one twice (six digits count)")
        if self.seed_from and self.melody:
            raise job.WrongUse(
                "--seed-from and --melody exclude each other: both say how the piece begins"
            )
        if self.transpose and not self.melody:
            raise job.WrongUse("--transpose moves the notes of --melody, which is not given")
        return self


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    # What is wrong is told before anything is loaded.
    reference = read_reference(options.checkpoint, options.data, options.seed_from)
    check_tempo(options.tempo)
    melody = None
    if options.melody is not None:
        melody = read_melody(options.melody, options.keep, options.transpose)
    rest = 0 if melody is None else melody.rest
    chords = options.chords or (_DEFAULT_CHORDS if melody is None else rest + len(melody.chords))
    check_length(chords, options.tempo)  # composing them would take long, and be for nothing
    given = given_tokens(chords, reference.opening, melody)
    composer = TrainedComposer(options.checkpoint)
    storage.check_writable(options.output)
    composed = composing.compose(
        composer,
        given,
        (0.0,) if options.greedy else options.temperatures,
        count=options.count,
        top_p=options.top_p,
        seed=options.seed,
        bar_position=0 if melody is None else melody.bar_position,
    )
    return composing.publish(
        composed,
        given,
        reference.statistics,
        options.output,
        tempo=options.tempo,
        instrument=options.instrument,
        rest=rest,
    )


if __name__ == "__main__":
    job.run(Options, work, description=__doc__, needs_ray=False)
