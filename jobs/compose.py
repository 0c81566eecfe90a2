#!/usr/bin/env python3
"""Compose chorales: to listen to (WAV, MIDI), to read (MusicXML, SVG), to look at (PNG).

Files go to OUTPUT/temperature=T/INDEX.*, of which INDEX.html is a page with score and sound in one
file. OUTPUT/pitches.png compares the pitches composed with Bach's. A chorale depends only on the
checkpoint, the seed, its length and its index. With --melody the composer keeps the voices of a
file and writes the others. The last line of the output is JSON: the files; for each temperature the
critique (statistics of chords, parallels, crossing, spacing and so on, beside Bach's own) and the
composer's nats per note; and the rules that it kept, with their nats.
"""

from typing import Annotated, Any

import tyro
from annotated_types import Ge, Le, MinLen
from pydantic import model_validator

from rnnray import job
from rnnray.chorale import composing_options
from rnnray.packaged import COMPOSER

_DEFAULT_CHORDS = 64


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: composing_options.Checkpoint = COMPOSER
    output: str = "composed"
    """Folder or URI to write to."""
    temperatures: composing_options.Temperatures = (1.0,)
    """Temperatures of sampling: 1 uses the composer's probabilities as they are, lower is tamer,
    higher is wilder, 0 is --greedy."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take the likeliest note each time, as the book's first version does; excludes
    --temperatures."""
    top_p: composing_options.TopP = 1.0
    temperature_on: composing_options.TemperatureOn = "pitch"
    rules: composing_options.RuleTexts = ()
    count: composing_options.Count = 1
    chords: composing_options.Chords | None = None
    """Length in chords (sixteenths), with the opening that is given; by default 64, or the
    melody's."""
    seed: composing_options.Seed = 0
    seed_from: composing_options.SeedFrom = None
    data: str | None = None
    """Corpus for --seed-from and for Bach's statistics, as in jobs/train_chorale.py; by default
    that of the checkpoint. The checkpoint carries its statistics, so that the corpus is read for
    --seed-from only."""
    melody: str | None = None
    """MIDI, MusicXML, Humdrum or CSV file with voices to keep; the composer writes the others.
    Silence before the first note, or the file's upbeat, says where in its bar the melody begins."""
    keep: Annotated[tuple[composing_options.VoiceName, ...], MinLen(1)] = ("soprano",)
    """Voices that the melody's file gives, highest first; if the file has four voices, these are
    taken from it."""
    open_bars: composing_options.OpenBars = None
    transpose: Annotated[int, Ge(-127), Le(127)] = 0
    """Number of semitones by which the melody is moved before it is harmonised; 12 is an octave
    up."""
    ending: composing_options.Ending = "tonic"
    particles: composing_options.Particles = None
    tempo: float = 80.0
    """Tempo in quarter notes a minute."""
    instrument: composing_options.Instrument = "organ"
    sounds: composing_options.Sounds = ("wav",)

    @model_validator(mode="after")
    def _each_temperature_once(self) -> "Options":
        if self.greedy and self.temperatures != (1.0,):
            raise job.WrongUse("--greedy and --temperatures exclude each other")
        if composing_options.twice(self.temperatures):
            raise job.WrongUse("--temperatures names one twice (six digits count)")
        if self.seed_from and self.melody:
            raise job.WrongUse(
                "--seed-from and --melody exclude each other: both say how the piece begins"
            )
        if self.transpose and not self.melody:
            raise job.WrongUse("--transpose moves the notes of --melody, which is not given")
        if self.open_bars and not self.melody:
            raise job.WrongUse("--open-bars are bars of --melody, which is not given")
        return self


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import storage
    from rnnray.chorale import composing
    from rnnray.chorale.composer import TrainedComposer
    from rnnray.chorale.data.reference import read_reference
    from rnnray.chorale.given import given_tokens, open_bars, read_melody
    from rnnray.chorale.render.midi_writer import check_tempo
    from rnnray.chorale.render.sound import check_length

    # What is wrong is told before anything is loaded.
    reference = read_reference(config.checkpoint, config.data, config.seed_from)
    check_tempo(config.tempo)
    melody = None
    if config.melody is not None:
        melody = read_melody(config.melody, config.keep, config.transpose)
        if config.open_bars:
            melody = open_bars(melody, composing_options.bar_range(config.open_bars))
    rest = 0 if melody is None else melody.rest
    chords = config.chords or (_DEFAULT_CHORDS if melody is None else rest + len(melody.chords))
    check_length(chords, config.tempo)  # composing them would take long, and be for nothing
    given = given_tokens(chords, reference.opening, melody)
    composer = TrainedComposer(config.checkpoint)
    storage.check_writable(config.output)
    rules = composing_options.rule_nats(config.rules)
    composed = composing.compose(
        composer,
        given,
        (0.0,) if config.greedy else config.temperatures,
        count=config.count,
        top_p=config.top_p,
        seed=config.seed,
        bar_position=0 if melody is None else melody.bar_position,
        rules=rules,
        temperature_on=config.temperature_on,
        particles=config.particles,
        ending=config.ending,
    )
    asked = {
        "rules": rules,
        "temperature_on": config.temperature_on,
        "ending": config.ending,
    }
    return asked | composing.publish(
        composed,
        given,
        reference.statistics,
        config.output,
        tempo=config.tempo,
        instrument=config.instrument,
        rest=rest,
        onsets=None if melody is None else melody.onsets,
        sounds=config.sounds,
    )


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
