#!/usr/bin/env python3
"""Compose thousands of chorales into object storage or a folder, with a page to listen to them.

Writes OUTPUT/NAME: temperature=T/INDEX.wav, .mid and .musicxml, excerpts of Bach's chorales to
compare with (bach/), the manifest (manifest/, Parquet, a row a chorale), the page (index.html) and
last of all summary.json. The same command goes on where it stopped, whatever stopped it, and the
result is the same, byte for byte. S3: credentials and endpoint come from the standard AWS_*
settings. The last line of the output is JSON: complete, output, page, chorales written and found,
seconds by stage, chorales_per_second; with --dry-run, what would be written, is there, is missing.
"""

from typing import Any

from rnnray import job
from rnnray.chorale.generation.dry_run import dry_run
from rnnray.chorale.generation.options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.run import generate


class Options(job.JobOptions, GenerationOptions, GenerationConfig):
    """Options of this job."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    config = job.part_of(options, GenerationConfig)
    where = job.part_of(options, GenerationOptions)
    if options.dry_run:
        return dry_run(config, where)
    return generate(config, where, verbose=options.verbose).as_dict()


if __name__ == "__main__":
    # Ray starts once the input is known to be good.
    job.run(Options, work, description=__doc__, needs_ray=False)
