"""A chorale in all its forms: sound, MIDI, MusicXML, a piano roll and a score."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnray import storage
from rnnray.chorale.chords import Chords, Onsets
from rnnray.chorale.composing_options import InstrumentName, SoundName
from rnnray.chorale.render import chorale_plots
from rnnray.chorale.render.engraving import svg_pages
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.piece_page import piece_page
from rnnray.chorale.render.sound_files import SOUNDS, sound_files


def render(
    uri: str,
    chords: Chords,
    *,
    title: str,
    tempo: float,
    instrument: InstrumentName,
    given: int = 0,
    given_notes: NDArray[np.bool_] | None = None,
    onsets: Onsets | None = None,
    sounds: Sequence[SoundName] = ("wav",),
) -> list[str]:
    """Write a chorale in all forms.

    Args:
        uri: path or URI of the files, without their suffix.
        chords: int16 [n, 4].
        title: title of the score and the piano roll.
        tempo: quarter notes a minute.
        instrument: see `rnnray.chorale.render.sound.synthesize`.
        given: number of chords at the beginning that the piano roll shades.
        given_notes: bool [n, 4], notes of given voices, which score, piano roll and page mark.
        onsets: bool [n, 4], known beginnings of notes; other repeated pitches are held.
        sounds: suffixes of the sound files.

    Returns:
        Paths or URIs of the files: .mid, sounds, .musicxml, a score of one or more pages (.svg,
            -page2.svg and so on), .png (piano roll), and .html (score and sound on a page).

    Raises:
        UserError: the tempo is out of range, or the storage refuses a file.
    """
    score = musicxml_bytes(chords, tempo=tempo, title=title, given=given_notes, onsets=onsets)
    midi = midi_bytes(chords, tempo=tempo, title=title, onsets=onsets)
    suffixes = {*sounds, "flac"}  # flac for the page, since every browser plays it
    audio = sound_files(chords, suffixes, tempo=tempo, instrument=instrument, onsets=onsets)
    contents = {
        ".mid": midi,
        **{f".{suffix}": audio[suffix] for suffix in sounds},
        ".musicxml": score,
    }
    for number, page in enumerate(svg_pages(score), 1):
        contents[".svg" if number == 1 else f"-page{number}.svg"] = page.encode()
    with tempfile.TemporaryDirectory() as temporary:
        plot = Path(temporary) / "roll.png"
        chorale_plots.piano_roll(plot, chords, title, given, given_notes, onsets)
        contents[".png"] = plot.read_bytes()
    contents[".html"] = piece_page(
        chords,
        title=title,
        tempo=tempo,
        score=score,
        midi=midi,
        sound=audio["flac"],
        given=given_notes,
    )
    for suffix, content in contents.items():
        storage.write_bytes(uri + suffix, content)
    # Files of an earlier chorale of this name would pass for this one's.
    for suffix in set(SOUNDS) - set(sounds):
        storage.delete(f"{uri}.{suffix}")
    while storage.delete(f"{uri}-page{number + 1}.svg"):
        number += 1
    return [uri + suffix for suffix in contents]
