"""The options of a generation run: those that determine its result, and those that do not."""

from typing import Annotated, Literal

import tyro
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field, field_validator

from rnnray.chorale import composing_options
from rnnray.packaged import COMPOSER
from rnnray.training.training_options import Config, RunName

Format = Literal["wav", "flac", "ogg", "mid", "musicxml"]
FORMATS: tuple[Format, ...] = ("wav", "flac", "ogg", "mid", "musicxml")


class GenerationConfig(Config):
    """The options that determine every byte of a run.

    Chorales of one index share their random numbers at all temperatures. That is good for comparing
    them in pairs, but they are not independent samples.
    """

    checkpoint: composing_options.Checkpoint = COMPOSER
    temperatures: composing_options.Temperatures = (0.8, 1.0, 1.5)
    """Temperatures of sampling: 1 uses the composer's probabilities as they are, lower is tamer,
    higher is wilder, 0 takes the likeliest note."""
    count: Annotated[composing_options.Count, Le(1_000_000)] = 100  # keys have six digits
    chords: composing_options.Chords = 64
    """Length of a chorale in chords (sixteenths), with the opening that is given."""
    formats: Annotated[tuple[Format, ...], MinLen(1)] = ("wav", "mid", "musicxml")
    """Files of each chorale: sound (wav; flac, the same samples in fewer bytes; ogg, lossy and the
    smallest), MIDI (mid), score (musicxml)."""
    top_p: composing_options.TopP = 1.0
    temperature_on: composing_options.TemperatureOn = "pitch"
    rules: composing_options.RuleTexts = ()
    ending: composing_options.Ending = "any"
    seed: composing_options.Seed = 0
    seed_from: composing_options.SeedFrom = None
    data: str | None = None
    """Corpus of real chorales, for --seed-from and for the page, as in jobs/train_chorale.py; by
    default that of the checkpoint. The checkpoint carries some of its pieces, so that the corpus is
    read for --seed-from only."""
    tempo: Annotated[float, Ge(composing_options.SLOWEST), Le(composing_options.FASTEST)] = 80.0
    """Tempo in quarter notes a minute, from 4 to 1000."""
    instrument: composing_options.Instrument = "organ"

    @field_validator("temperatures")
    @classmethod
    def _each_temperature_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if composing_options.twice(values):
            raise ValueError("names a temperature twice (six digits count)")
        return tuple(sorted(values))

    @field_validator("formats")
    @classmethod
    def _in_one_order(cls, values: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(name for name in FORMATS if name in values)


class GenerationOptions(Config):
    """Place and resources of a run; its files' content, except links, does not depend on them."""

    output: Annotated[str, Field(min_length=1)] = "generated"
    """Folder of all runs, which all nodes share, or s3://bucket/prefix; gs:// is not supported."""
    name: RunName = "chorales"
    """Name of the run and of its folder; a run of the same name resumes where it stopped."""
    samplers: Annotated[int, Ge(1)] | None = None
    """Largest number of processes that compose; by default one for each GPU, or one for every eight
    CPUs."""
    no_gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compose on CPUs even if there are GPUs."""
    presign_hours: Annotated[float, Gt(0), Le(168)] | None = None
    """Hours for which the page works in a private bucket, through presigned links (s3:// only)."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Delete what a run of this name has written, and start over."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print what would be written, its size and what is there already; write nothing."""
