from xml.etree import ElementTree

import music21
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_files import chorales

from rnnray.chorale.data import chorale_table
from rnnray.chorale.render.musicxml_writer import (
    estimate_key,
    musicxml_bytes,
    spell,
    split_at_beats,
)
from rnnray.errors import UserError


def read(content: bytes) -> music21.stream.Score:
    return music21.converter.parseData(content, format="musicxml")


def chords_of(score: music21.stream.Score, length: int) -> np.ndarray:
    chords = np.full((length, 4), -1)
    for voice, part in enumerate(score.parts):
        for note in part.flatten().notesAndRests:
            start, held = int(4 * note.offset), int(4 * note.quarterLength)
            assert (chords[start : start + held, voice] == -1).all(), "nothing overlaps"
            chords[start : start + held, voice] = 0 if note.isRest else note.pitch.midi
    return chords


def elements(content: bytes, path: str) -> list[str | None]:
    return [element.text for element in ElementTree.fromstring(content).iterfind(path)]


def scale_chords(names: str) -> np.ndarray:
    """A chord for each named note, all voices in unison."""
    return np.repeat([[music21.pitch.Pitch(name).midi] for name in names.split()], 4, axis=1)


# --- notes and durations ---


@settings(max_examples=25)
@given(chorales())
def test_music21_reads_the_same_chords_and_held_notes(chords: np.ndarray) -> None:
    score = read(musicxml_bytes(chords))
    assert [part.partName for part in score.parts] == ["Soprano", "Alto", "Tenor", "Bass"]
    np.testing.assert_array_equal(chords_of(score, len(chords)), chords)
    for part, column in zip(score.parts, chords.T, strict=True):
        begins = (column > 0) & (np.diff(column, prepend=-1) != 0)
        # Not stripTies: it breaks some notes of three pieces in two.
        struck = [n for n in part.flatten().notes if n.tie is None or n.tie.type == "start"]
        assert len(struck) == begins.sum(), "a held note is one note"


@settings(max_examples=25)
@given(chorales())
def test_bars_are_full_and_add_up_to_the_piece(chords: np.ndarray) -> None:
    root = ElementTree.fromstring(musicxml_bytes(chords))
    divisions = {int(element.text or 0) for element in root.iterfind("part/measure/*/divisions")}
    (quarter,) = divisions
    expected = [16] * (len(chords) // 16) + [len(chords) % 16] * (len(chords) % 16 > 0)
    for part in root.iterfind("part"):
        bars = [
            sum(int(duration.text or 0) for duration in bar.iterfind("note/duration"))
            for bar in part.iterfind("measure")
        ]
        assert bars == [length * quarter / 4 for length in expected or [0]]


def test_ties_join_a_note_across_barlines_and_nothing_else() -> None:
    chords = np.full((40, 4), 60)
    chords[:, 1] = [60] * 16 + [62] * 24  # changes at the barline: no tie there
    root = ElementTree.fromstring(musicxml_bytes(chords))
    soprano, alto = (
        [[tie.get("type") for tie in note.iterfind("tie")] for note in part.iterfind("*/note")]
        for part in root.findall("part")[:2]
    )
    assert soprano == [["start"], ["stop", "start"], ["stop"]]
    assert alto == [[], ["start"], ["stop"]]


@given(st.integers(0, 40), st.integers(1, 60))
def test_notes_are_cut_into_values_that_can_be_written(start: int, length: int) -> None:
    pieces = split_at_beats(start, start + length)
    assert [a for a, _ in pieces] == [start, *(b for _, b in pieces[:-1])]
    assert pieces[-1][1] == start + length
    for a, b in pieces:
        assert b - a in {1, 2, 3, 4, 6, 8, 12, 16}
        assert a // 16 == (b - 1) // 16, "no piece crosses a barline"


@pytest.mark.parametrize(
    ("start", "end", "lengths"),
    [
        (0, 16, [16]),
        (4, 16, [12]),
        (4, 12, [8]),  # on the beat: a half note may hide the middle of the bar
        (2, 6, [4]),  # eighth, quarter, eighth
        (6, 10, [2, 2]),  # off the beat: the middle of the bar shows
        (0, 10, [8, 2]),
        (0, 7, [4, 3]),
        (3, 5, [1, 1]),
        (12, 36, [4, 16, 4]),
    ],
)
def test_beats_stay_visible(start: int, end: int, lengths: list[int]) -> None:
    assert [b - a for a, b in split_at_beats(start, end)] == lengths


def test_a_bar_of_silence_is_a_whole_rest() -> None:
    chords = np.full((32, 4), 60)
    chords[16:, 2] = 0
    root = ElementTree.fromstring(musicxml_bytes(chords))
    rests = [rest.get("measure") for rest in root.iterfind("part/measure/note/rest")]
    assert rests == ["yes"]


def test_silence_and_an_empty_piece_are_scores_too() -> None:
    silent = read(musicxml_bytes(np.zeros((20, 4), np.int16)))
    assert [part.quarterLength for part in silent.parts] == [5] * 4
    assert len(silent.flatten().notes) == 0
    empty = read(musicxml_bytes(np.zeros((0, 4), np.int16)))
    assert [len(part.getElementsByClass("Measure")) for part in empty.parts] == [1] * 4
    assert len(empty.flatten().notes) == 0


# --- spelling and key ---


@given(st.integers(1, 127), st.integers(-6, 6))
def test_a_spelled_pitch_sounds_as_before(pitch: int, sharps: int) -> None:
    step, alter, octave = spell(pitch, sharps)
    assert -2 <= alter <= 2
    assert "C D EF G A B".index(step) + alter + 12 * (octave + 1) == pitch


@pytest.mark.parametrize("sharps", range(-6, 7))
def test_scales_are_spelled_as_music21_does(sharps: int) -> None:
    major = music21.key.KeySignature(sharps).asKey("major")
    minor = music21.scale.HarmonicMinorScale(major.relative.tonic)
    for pitch in [*major.getScale().getPitches(), *minor.getPitches()]:
        step, alter, octave = spell(pitch.midi, sharps)
        assert (step, alter, octave) == (pitch.step, int(pitch.alter), pitch.octave)


def test_notes_are_spelled_for_the_key_and_the_key_is_written() -> None:
    for names, fifths, mode in (
        ("A4 B4 C5 D5 E5 A4 E5 A4 C5 E5 G#4 A4", "0", "minor"),
        ("A-4 C5 E-5 A-4 B-4 D-5 E-5 G4 F4 A-4", "-4", "major"),
    ):
        content = musicxml_bytes(scale_chords(names))
        assert set(elements(content, "*/measure/attributes/key/fifths")) == {fifths}
        assert set(elements(content, "*/measure/attributes/key/mode")) == {mode}
        notes = read(content).parts[0].flatten().notes
        assert " ".join(note.nameWithOctave for note in notes) == names


@pytest.mark.parametrize(
    ("work", "name"),
    [
        ("bwv66.6", "F# minor"),
        ("bwv269", "G major"),
        ("bwv26.6", "A minor"),
        ("bwv253", "A major"),
        ("bwv254", "D minor"),
        ("bwv258", "B minor"),
    ],
)
def test_key_of_bachs_own_chorales(work: str, name: str) -> None:
    notes = music21.corpus.parse(f"bach/{work}").flatten().notes
    pitches = np.repeat(*np.array([(n.pitch.midi, int(4 * n.quarterLength)) for n in notes]).T)
    key = estimate_key(np.resize(pitches, (len(pitches) // 4, 4)))
    tonic, mode = name.split()
    assert (key.tonic, key.mode) == (music21.pitch.Pitch(tonic).pitchClass, mode)


@pytest.mark.parametrize("up", range(12))
def test_key_moves_with_the_music_and_never_has_seven_sharps(up: int) -> None:
    chords = scale_chords("C4 E4 G4 C5 F4 A4 C5 G4 B4 D5 C5 C4")
    key = estimate_key(np.where(chords > 0, chords + up, 0))
    assert (key.tonic, key.mode) == (up, "major")
    assert -6 <= key.sharps <= 6


@pytest.mark.parametrize("chords", [np.zeros((0, 4), int), np.zeros((9, 4), int)])
def test_silence_is_in_c_major(chords: np.ndarray) -> None:
    assert (estimate_key(chords).sharps, estimate_key(chords).mode) == (0, "major")


def test_all_twelve_pitch_classes_alike_are_no_error() -> None:
    assert estimate_key(np.repeat(np.arange(60, 72)[:, None], 4, axis=1)).sharps == 0


# --- what else is on the page ---


def test_page_has_title_tempo_metre_clefs_and_an_end() -> None:
    content = musicxml_bytes(np.full((20, 4), 60), tempo=72.5, title='Nun "danket" <alle> & Gott')
    assert content.startswith(b"<?xml")
    assert b"MusicXML 4.0" in content
    assert elements(content, "work/work-title") == ['Nun "danket" <alle> & Gott']
    assert elements(content, "*/measure/direction/*/metronome/per-minute") == ["72.5"]
    assert elements(content, "*/measure/attributes/time/beats") == ["4"] * 4
    assert elements(content, "*/measure/attributes/clef/sign") == ["G", "G", "G", "F"]
    assert elements(content, "*/measure/attributes/clef/clef-octave-change") == ["-1"]
    assert elements(content, "*/measure/barline/bar-style") == ["light-heavy"] * 4


def test_the_same_chorale_gives_the_same_bytes_on_any_day() -> None:
    chords = np.random.default_rng(0).integers(36, 82, (30, 4))
    first = musicxml_bytes(chords, title="x")
    assert first == musicxml_bytes(chords.copy(), title="x")
    assert not elements(first, ".//encoding-date")
    assert not elements(first, ".//creator")
    ids = [e.get("id") for e in ElementTree.fromstring(first).iterfind("part-list/score-part")]
    assert ids == ["P1", "P2", "P3", "P4"]


@pytest.mark.parametrize("title", ["a\x00b", "a\udc80b", "a\nb", "a\ufffeb"])
def test_a_title_that_xml_forbids_still_gives_xml(title: str) -> None:
    content = musicxml_bytes(np.full((4, 4), 60), title=title)
    assert elements(content, "work/work-title") == ["a b"]


def test_without_a_title_none_is_made_up() -> None:
    content = musicxml_bytes(np.full((4, 4), 60))
    assert not any(elements(content, "work/work-title") + elements(content, "movement-title"))


@pytest.mark.parametrize("tempo", [0.0, -1.0, float("nan"), float("inf")])
def test_tempo_that_is_none_is_one_clear_line(tempo: float) -> None:
    with pytest.raises(UserError, match=r"^tempo .*quarter notes a minute"):
        musicxml_bytes(np.full((4, 4), 60), tempo=tempo)


@pytest.mark.parametrize("chords", [np.zeros((4, 3), int), np.zeros((4, 4)), np.full((4, 4), -1)])
def test_what_is_no_chorale_is_refused(chords: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"chords|pitches"):
        musicxml_bytes(chords)


def test_real_chorales_come_back(real_chorales: pa.Table) -> None:
    pieces = chorale_table.chords_of(real_chorales)[::80]
    assert len(pieces) == 5
    for chords in pieces:
        score = read(musicxml_bytes(chords))
        np.testing.assert_array_equal(chords_of(score, len(chords)), chords)
