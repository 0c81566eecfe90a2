#!/usr/bin/env python3
"""Compose thousands of chorales into object storage or a folder, with a page to listen to them.

Writes to OUTPUT/NAME: temperature=T/INDEX.wav, .mid and .musicxml; excerpts of Bach's chorales to
compare with (bach/); the manifest (manifest/, Parquet, one row a chorale); the page (index.html);
and, last, summary.json. After any interruption the same command resumes, and the result is the
same, byte for byte. S3: credentials and endpoint come from the standard AWS_* settings. The last
line of the output is JSON: complete, output, page, chorales written and found, seconds by stage,
chorales_per_second; with --dry-run, what would be written, what is there and what is missing.
"""

from dataclasses import dataclass
from typing import Any

from rnnray import job
from rnnray.chorale.generation.generation_options import GenerationConfig, GenerationOptions


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    generation: GenerationConfig
    where: GenerationOptions
    options: job.JobOptions


def main(config: Config) -> dict[str, Any]:
    """Do the job; Ray starts once the input is known to be good."""
    if config.where.dry_run:
        from rnnray.chorale.generation.dry_run import dry_run

        return dry_run(config.generation, config.where)
    from rnnray.chorale.generation.run import generate

    return generate(config.generation, config.where, verbose=config.options.verbose).as_dict()


if __name__ == "__main__":
    job.run(main, Config, description=__doc__)
