#!/usr/bin/env python3
"""Write a real chorale in the same forms as a composed one: WAV, MIDI, MusicXML, piano roll, score.

The files are for comparison with those of jobs/compose.py; nothing is played. The last line of the
output is JSON: the chorale's name, its length in chords (sixteenths), and the files.
"""

from typing import Any

from rnnray import job
from rnnray.chorale.composing_options import Instrument


class Options(job.JobOptions):
    """Options of this job."""

    name: str
    """Chorale to write: SPLIT:INDEX, such as test:2, or its name in the corpus."""
    data: str = "jsb"
    """Corpus: jsb, music21, or a path or URI of an archive, folder or file (CSV, MIDI, MusicXML,
    Humdrum, Jsb16thSeparated or Parquet)."""
    output: str = "heard"
    """Folder or URI to write to."""
    tempo: float = 80.0
    """Tempo in quarter notes a minute."""
    instrument: Instrument = "organ"


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import storage
    from rnnray.chorale.data import chorale_table
    from rnnray.chorale.data.corpus import open_corpus
    from rnnray.chorale.render.midi_writer import check_tempo
    from rnnray.chorale.render.rendering import render

    check_tempo(config.tempo)
    name, chords = chorale_table.named(open_corpus(config.data), config.name)
    files = render(
        storage.join(config.output, name),
        chords,
        title=f"{name} ({config.name})",
        tempo=config.tempo,
        instrument=config.instrument,
    )
    return {"name": name, "chords": len(chords), "files": files}


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
