"""The chorales in the music21 library, for a machine without a network.

These are the Bach files in music21's corpus
(https://www.music21.org/music21docs/about/referenceCorpus.html) that have a soprano, an alto, a
tenor and a bass. Accompanying instruments are left out.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.data import scores
from rnnray.chorale.data.chorale_table import Skipped, check, from_chorales, hashed_split
from rnnray.download import cache_folder, cannot_write, locked
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.storage import write_bytes

_REVISION = 2  # version of this module's results; files are parsed again when it changes
# Cantatas repeat chorales in other keys, with a few passing notes changed. In two splits they would
# make the test a test of memory. Different chorales agree in less than half of the notes.
_SAME_MUSIC = 0.8
# Limit of silence, which excludes movements in which the choir mostly waits for the orchestra.
_MOST_SILENCE = 0.25


def open_music21() -> pa.Table:
    """Return the chorale table of music21's corpus; parsed once (a minute), then saved as Parquet.

    The splits are `hashed_split` of the names, such as `bwv269`. They are not those of `jsb`, most
    of whose chorales are here too, some in another key: train and evaluate on the same corpus.

    Raises:
        UserError: music21 has no corpus, or the cache folder cannot be written.
    """
    name = f"chorales-{version('music21')}-{_REVISION}.parquet"
    cached = cache_folder() / "music21" / name
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with locked(cached):
            if not cached.exists():
                buffer = pa.BufferOutputStream()
                pq.write_table(parse_chorales(corpus_files()), buffer)
                write_bytes(str(cached), buffer.getvalue().to_pybytes())
    except OSError as error:
        raise cannot_write(cached, error) from error
    try:
        return check(pq.read_table(cached), str(cached))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{cached}: a damaged file ({error}); delete it and run again") from error


def parse_chorales(files: Sequence[Path]) -> pa.Table:
    """Return the chorale table of MusicXML files, each chorale named after its file.

    Skips files that are no chorale in four voices, or the same music as an earlier one;
    `chorale_table.skipped_of` names them. Takes about an eighth of a second a file, and prints its
    progress.

    Raises:
        UserError: there is no chorale among them.
    """
    chorales: dict[str, Chords] = {}
    skipped: list[Skipped] = []
    every = Every()
    for number, path in enumerate(files):
        if every():
            say(f"music21: {number} of {len(files)} chorales parsed; this is done once")
        try:
            chords = _chords(path)
            same = [name for name, other in chorales.items() if same_music(chords, other)]
            if same:
                raise UserError(f"the same music as {same[0]}")
            chorales[path.stem] = chords
        except UserError as error:
            skipped.append((path.name, str(error).removeprefix(str(path)).lstrip(":, ")))
    if not chorales:
        raise UserError(f"music21: none of its {len(files)} files by Bach is a chorale; reinstall")
    return from_chorales(
        [(name, hashed_split(name), chords) for name, chords in chorales.items()], skipped
    )


def corpus_files() -> list[Path]:
    """Return the MusicXML files of Bach in the installed music21, sorted."""
    from music21 import corpus  # noqa: PLC0415  (seconds)

    files: list[Any] = corpus.getComposer("bach")
    return sorted(Path(file) for file in files if Path(file).suffix in scores.MUSICXML_SUFFIXES)


def _chords(path: Path) -> Chords:
    voices = scores.in_four_voices(scores.read_voices(path), str(path))
    silence = (voices == 0).all(axis=1).mean()
    if silence > _MOST_SILENCE:
        raise UserError(f"{path}: the choir is silent for {silence:.0%} of the time")
    return voices


def same_music(one: Chords, other: Chords) -> bool:
    """Return whether most notes of two chorales agree, in the same key or transposed."""
    length = min(len(one), len(other))
    if length < _SAME_MUSIC * max(len(one), len(other)):
        return False
    distances = (one[:length] - other[:length])[(one[:length] > 0) & (other[:length] > 0)]
    if len(distances) == 0:
        return False
    # The commonest distance is the transposition.
    same = np.bincount(distances - distances.min()).max()
    return bool(same >= _SAME_MUSIC * length * VOICE_COUNT)
