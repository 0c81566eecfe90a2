#!/usr/bin/env python3
"""Write a real chorale as it would be composed: WAV, MIDI, MusicXML, piano roll, score.

Plays nothing; to compare with what jobs/compose.py writes. The last line of the output is JSON: the
chorale's name, its length in chords (sixteenths), and the files.
"""

from typing import Any

from rnnray import job, storage
from rnnray.chorale import table
from rnnray.chorale.corpus import open_corpus
from rnnray.chorale.midi import check_tempo
from rnnray.chorale.rendering import render
from rnnray.chorale.sound import InstrumentName


class Options(job.JobOptions):
    """Options of this job."""

    name: str
    """The chorale: SPLIT:INDEX, such as test:2, or its name in the corpus."""
    data: str = "jsb"
    """jsb, music21, or a path or URI: an archive, folder or file of CSV, MIDI, MusicXML, Humdrum,
    Jsb16thSeparated or Parquet."""
    output: str = "heard"
    """Folder or URI to write to."""
    tempo: float = 80.0
    """Quarter notes a minute."""
    instrument: InstrumentName = "organ"
    """Of the WAV: organ, choir, or the book's plain sine."""


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    check_tempo(options.tempo)
    name, chords = table.named(open_corpus(options.data), options.name)
    files = render(
        storage.join(options.output, name),
        chords,
        title=f"{name} ({options.name})",
        tempo=options.tempo,
        instrument=options.instrument,
    )
    return {"name": name, "chords": len(chords), "files": files}


if __name__ == "__main__":
    job.run(Options, work, description=__doc__, needs_ray=False)
