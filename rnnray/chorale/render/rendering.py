"""A chorale in all its forms: sound, MIDI, MusicXML, a piano roll and a score."""

import tempfile
from pathlib import Path

from rnnray import storage
from rnnray.chorale.chords import Chords
from rnnray.chorale.composing_options import InstrumentName
from rnnray.chorale.render import chorale_plots
from rnnray.chorale.render.engraving import svg_pages
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.sound import synthesize, wav_bytes


def render(
    uri: str,
    chords: Chords,
    *,
    title: str,
    tempo: float,
    instrument: InstrumentName,
    given: int = 0,
) -> list[str]:
    """Write a chorale in all forms.

    Args:
        uri: path or URI of the files, without their suffix.
        chords: int16 [n, 4].
        title: title of the score and the piano roll.
        tempo: quarter notes a minute.
        instrument: see `rnnray.chorale.render.sound.synthesize`.
        given: number of chords at the beginning that the piano roll shades.

    Returns:
        Paths or URIs of the files: .wav, .mid, .musicxml, .png (piano roll), and a score of one or
            more pages: .svg, -page2.svg and so on.

    Raises:
        UserError: the tempo is out of range, or the storage refuses a file.
    """
    score = musicxml_bytes(chords, tempo=tempo, title=title)
    contents = {
        ".mid": midi_bytes(chords, tempo=tempo, title=title),
        ".wav": wav_bytes(synthesize(chords, tempo=tempo, instrument=instrument)),
        ".musicxml": score,
    }
    for number, page in enumerate(svg_pages(score), 1):
        contents[".svg" if number == 1 else f"-page{number}.svg"] = page.encode()
    with tempfile.TemporaryDirectory() as temporary:
        picture = Path(temporary) / "roll.png"
        chorale_plots.piano_roll(picture, chords, title, given)
        contents[".png"] = picture.read_bytes()
    for suffix, content in contents.items():
        storage.write_bytes(uri + suffix, content)
    # Pages of an earlier, longer chorale of this name would pass for this one's.
    while storage.delete(f"{uri}-page{number + 1}.svg"):
        number += 1
    return [uri + suffix for suffix in contents]
