"""Chorales as MusicXML 4.0 (https://www.w3.org/2021/06/musicxml40/), written by music21.

Four parts on a staff each, not the two staves of a hymn book: every program then reads back four
voices, ours too, and voices that cross, meet or rest, as those of a model do, stay readable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rnnray.chorale.chords import BAR
from rnnray.chorale.midi import PART_NAMES, check_tempo, held_notes, printable

if TYPE_CHECKING:
    from music21.key import Key
    from music21.note import GeneralNote
    from music21.stream import Measure

CLEFS = ("TrebleClef", "TrebleClef", "Treble8vbClef", "BassClef")
ACCIDENTALS = {-2: "--", -1: "-", 0: "", 1: "#", 2: "##"}  # as music21 writes them


def musicxml_bytes(
    chords: NDArray[np.integer], *, tempo: float = 80.0, title: str | None = None
) -> bytes:
    """A chorale as MusicXML, the same bytes for the same arguments.

    `chords` is int [n, 4]: soprano, alto, tenor, bass, a row a sixteenth, the first on the first
    beat of a 4/4 bar; MIDI pitch from 1 to 127, 0 = silence. `tempo` is in quarters a minute.
    Equal pitches in a row are one held note, tied where a bar ends or a beat would be hidden. The
    last bar ends with the last chord; without chords there is one empty bar. The key signature is
    that of `estimate_key`, and `spell` spells the notes for it.

    Raises ValueError for chords that are not such an array, `UserError` for a tempo that is not a
    number or absurd.
    """
    import music21  # noqa: PLC0415  (seconds)
    from music21.musicxml.m21ToXml import ScoreExporter  # noqa: PLC0415

    voices = held_notes(chords)
    check_tempo(tempo)
    key = estimate_key(chords)
    score = music21.stream.Score()
    for number, (name, clef, notes) in enumerate(zip(PART_NAMES, CLEFS, voices, strict=True), 1):
        bars = _bars(notes, len(chords), key.sharps)
        bars[0].insert(0, getattr(music21.clef, clef)())
        bars[0].insert(0, music21.key.Key(key.tonic, key.mode))
        bars[0].insert(0, music21.meter.TimeSignature("4/4"))
        if number == 1:
            bars[0].insert(0, music21.tempo.MetronomeMark(number=round(tempo, 2)))
        bars[-1].rightBarline = "final"
        instrument = getattr(music21.instrument, name)()
        # music21 would draw random ids.
        instrument.partId, instrument.instrumentId = f"P{number}", f"I{number}"
        instrument.midiChannel = number - 1
        part = music21.stream.Part([instrument])
        part.append(bars)
        score.insert(0, part)
    staves = music21.layout.StaffGroup(list(score.parts), symbol="bracket", barTogether=True)
    score.insert(0, staves)
    score.metadata = music21.metadata.Metadata(title=printable(title or ""))
    exporter = ScoreExporter(score)
    root = exporter.parse()
    # Neither today's date nor music21 as the composer.
    for path, tag in ("identification", "creator"), ("identification/encoding", "encoding-date"):
        for parent in root.iterfind(path):
            for child in parent.findall(tag):
                parent.remove(child)
    content: bytes = exporter.asBytes()
    return content


def estimate_key(chords: NDArray[np.integer]) -> Key:
    """The major or minor key that a chorale is in, of music21's class; C major for silence.

    `chords` is int [n, 4], MIDI pitches or 0 = silence. How long each pitch class sounds is
    correlated with the profiles of Aarden and Essen
    (https://www.music21.org/music21docs/moduleReference/moduleAnalysisDiscrete.html), which name
    Bach's own signature and last bass note more often than those of Krumhansl and Kessler.
    """
    import music21  # noqa: PLC0415  (seconds)

    lengths = np.bincount(chords[chords > 0] % 12, minlength=12)
    if np.ptp(lengths) == 0:  # nothing stands out
        return music21.key.Key("C")
    # The profiles know pitch classes and lengths alone: twelve notes say as much as a thousand.
    notes = music21.stream.Stream()
    for pitch_class in np.flatnonzero(lengths).tolist():
        notes.append(music21.note.Note(60 + pitch_class, quarterLength=int(lengths[pitch_class])))
    key = notes.analyze("key")
    return music21.key.Key("D-") if key.sharps == 7 else key  # C sharp major, with two flats less


def spell(pitch: int, sharps: int) -> tuple[str, int, int]:
    """Step, alteration and octave of a MIDI pitch where the key signature has so many sharps.

    Flats count below 0. On the line of fifths (... B flat, F, C, G, D ...) the twelve pitch
    classes are those from two below to nine above the signature's major tonic: in C major and A
    minor from B flat to D sharp. Of the notes of 119 chorales of Bach, 99.9 % are spelled so.
    """
    lowest = sharps - 2  # C is at 0; a fifth is seven semitones, so pitch class p is at 7 p
    fifths = lowest + (7 * pitch - lowest) % 12
    alter = (fifths + 1) // 7
    return "FCGDAEB"[(fifths + 1) % 7], alter, (pitch - alter) // 12 - 1


def split_at_beats(start: int, end: int) -> list[tuple[int, int]]:
    """Cut a note from `start` to `end` (in sixteenths) into the values that readers expect.

    Bars always cut. The middle of a bar cuts unless the note starts and ends on beats; a beat cuts
    unless it starts and ends on eighths. So each piece has a length of 1, 2, 3, 4, 6, 8, 12 or 16.
    """
    for size in (BAR, BAR // 2, BAR // 4):
        cut = (start // size + 1) * size
        if cut < end and (size == BAR or start % (size // 2) or end % (size // 2)):
            return split_at_beats(start, cut) + split_at_beats(cut, end)
    return [(start, end)]


def _bars(notes: list[tuple[int, int]], length: int, sharps: int) -> list[Measure]:
    """The bars of one voice of so many sixteenths."""
    from music21 import note, stream, tie  # noqa: PLC0415  (seconds)

    bars = [stream.Measure(number=1 + start // BAR) for start in range(0, max(length, 1), BAR)]
    position = 0
    for pitch, held in notes:
        pieces = split_at_beats(position, position + held)
        for start, end in pieces:
            piece: GeneralNote = note.Rest()
            if pitch:
                step, alter, octave = spell(pitch, sharps)
                piece = note.Note(f"{step}{ACCIDENTALS[alter]}{octave}")
                if len(pieces) > 1:
                    first, last = (start, end) == pieces[0], (start, end) == pieces[-1]
                    piece.tie = tie.Tie("start" if first else "stop" if last else "continue")
            piece.quarterLength = (end - start) / 4
            bars[start // BAR].append(piece)
        position += held
    return bars
