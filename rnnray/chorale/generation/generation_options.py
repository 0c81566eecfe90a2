"""What a generation run is asked: what determines its result, and where it runs."""

from typing import Annotated, Literal

import tyro
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field, field_validator

from rnnray.chorale import composing_options
from rnnray.chorale.packaged import PACKAGED
from rnnray.training.run_options import RunName
from rnnray.training.training_config import Config

Format = Literal["wav", "mid", "musicxml"]
FORMATS: tuple[Format, ...] = ("wav", "mid", "musicxml")


class GenerationConfig(Config):
    """What determines every byte of a run.

    Chorales of one index share their random numbers at all temperatures: good for comparing them in
    pairs, but they are no independent samples.
    """

    checkpoint: composing_options.Checkpoint = PACKAGED
    temperatures: composing_options.Temperatures = (0.8, 1.0, 1.5)
    """1 takes the composer at its word, less is tamer, more is wilder, 0 is the likeliest note."""
    count: Annotated[composing_options.Count, Le(1_000_000)] = 100  # keys have six digits
    chords: composing_options.Chords = 64
    """Length in chords (sixteenths), what is given included."""
    formats: Annotated[tuple[Format, ...], MinLen(1)] = FORMATS
    """Files of each chorale: sound (wav), MIDI (mid), score (musicxml)."""
    top_p: composing_options.TopP = 1.0
    seed: composing_options.Seed = 0
    seed_from: composing_options.SeedFrom = None
    data: str | None = None
    """Corpus of real chorales, for --seed-from and for the page; as in jobs/train_chorale.py. By
    default the one of the checkpoint, which carries some pieces of it, so that it is read for
    --seed-from only."""
    tempo: Annotated[float, Ge(composing_options.SLOWEST), Le(composing_options.FASTEST)] = 80.0
    """Quarter notes a minute, from 4 to 1000."""
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
    """Where and on what a run runs; what it writes does not depend on these, but for links."""

    output: Annotated[str, Field(min_length=1)] = "generated"
    """Folder of all runs, which all nodes share, or s3://bucket/prefix; gs:// is not supported."""
    name: RunName = "chorales"
    """Name of this run and of its folder; the same name goes on where the run stopped."""
    samplers: Annotated[int, Ge(1)] | None = None
    """Processes that compose, at most; by default one a GPU, or one for each eight CPUs."""
    no_gpu: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compose on CPUs even where there are GPUs."""
    presign_hours: Annotated[float, Gt(0), Le(168)] | None = None
    """Let the page work in a private bucket, for so many hours: its links are presigned (s3://)."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Delete what a run of this name has written, and start over."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Say what would be written, how large it is and what is there already; write nothing."""
