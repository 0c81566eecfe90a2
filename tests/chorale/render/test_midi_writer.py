import io
import warnings

import mido
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from score_files import chorales

from rnnray.chorale.data import chorale_table
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.errors import UserError

NAMES = ["Soprano", "Alto", "Tenor", "Bass"]


def parse(content: bytes) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(content), charset="utf-8")


def chords_of(file: mido.MidiFile) -> np.ndarray:
    """The chords, from the tracks of the voices and their lengths."""
    assert file.ticks_per_beat == 480
    columns = []
    for track in file.tracks[1:]:
        sounding, column = 0, []
        for message in track:
            chords, rest = divmod(message.time, 120)
            assert rest == 0, "everything happens on a sixteenth"
            column += [sounding] * chords
            if message.type == "note_on":
                assert sounding == 0, "a voice sings one note at a time"
                sounding = message.note
            elif message.type == "note_off":
                assert message.note == sounding
                sounding = 0
        columns.append(column)
    return np.array(columns).T


@given(chorales())
def test_every_note_and_silence_comes_back(chords: np.ndarray) -> None:
    file = parse(midi_bytes(chords))
    assert file.type == 1
    assert [track.name for track in file.tracks[1:]] == NAMES
    np.testing.assert_array_equal(chords_of(file), chords)
    assert {sum(message.time for message in track) for track in file.tracks} == {120 * len(chords)}


@settings(max_examples=40)
@given(chorales())
def test_music21_reads_the_same_notes(chords: np.ndarray) -> None:
    import music21  # noqa: PLC0415  (seconds)

    file = music21.midi.MidiFile()
    file.readstr(midi_bytes(chords))
    found = np.zeros_like(chords)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # music21 warns of tracks without notes
        parts = music21.midi.translate.midiFileToStream(file).parts
    for part in parts:  # those with notes
        for note in part.flatten().notes:
            start, length = int(4 * note.offset), int(4 * note.quarterLength)
            found[start : start + length, NAMES.index(part.partName)] = note.pitch.midi
    np.testing.assert_array_equal(found, chords)


def test_equal_pitches_in_a_row_are_one_held_note_also_across_bars() -> None:
    chords = np.full((33, 4), 60)
    chords[20, 1] = 0  # one silence makes two notes
    starts = [
        sum(message.type == "note_on" for message in track)
        for track in parse(midi_bytes(chords)).tracks
    ]
    assert starts == [0, 1, 2, 1, 1]


def test_a_note_ends_before_the_next_of_its_voice_begins() -> None:
    track = parse(midi_bytes(np.array([[60] * 4, [62] * 4]))).tracks[1]
    assert [(m.type, m.note, m.time) for m in track if m.type.startswith("note_")] == [
        ("note_on", 60, 0),
        ("note_off", 60, 120),
        ("note_on", 62, 0),
        ("note_off", 62, 120),
    ]


def test_each_voice_has_its_channel_and_a_sound_that_sustains() -> None:
    file = parse(midi_bytes(np.array([[72, 67, 64, 48]])))
    messages = [message for track in file.tracks for message in track if not message.is_meta]
    assert [m.channel for m in messages if m.type == "program_change"] == [0, 1, 2, 3]
    assert {m.program for m in messages if m.type == "program_change"} == {52}
    notes = [(m.channel, m.note) for m in messages if m.type == "note_on"]
    assert notes == [(0, 72), (1, 67), (2, 64), (3, 48)]


@pytest.mark.parametrize("tempo", [4.0, 72.5, 80.0, 1000.0])
def test_players_keep_tempo_and_length(tempo: float) -> None:
    chords = np.zeros((24, 4), np.int16)
    chords[:8] = 60  # then silence to the end
    assert parse(midi_bytes(chords, tempo=tempo)).length == pytest.approx(6 * 60 / tempo, rel=1e-5)


@pytest.mark.parametrize("tempo", [0.0, -80.0, 3.9, 1e9, float("nan"), float("inf")])
def test_tempo_that_midi_cannot_hold_is_one_clear_line(tempo: float) -> None:
    with pytest.raises(UserError, match=r"^tempo .*quarter notes a minute, from 4 to 1000$"):
        midi_bytes(np.full((4, 4), 60), tempo=tempo)


@pytest.mark.parametrize("title", ["Wachet auf, ruft uns die Stimme ♪", "日本", ""])
def test_any_title_comes_back(title: str) -> None:
    first = parse(midi_bytes(np.full((4, 4), 60), title=title)).tracks[0]
    assert first[0].name == title


def test_control_characters_and_broken_file_names_do_not_spoil_the_title() -> None:
    first = parse(midi_bytes(np.full((4, 4), 60), title="a\x00b\udc80c\nd")).tracks[0]
    assert first[0].name == "a b c d"


def test_without_a_title_there_is_none() -> None:
    first = parse(midi_bytes(np.full((4, 4), 60))).tracks[0]
    assert "track_name" not in {message.type for message in first}


@pytest.mark.parametrize(
    ("chords", "message"),
    [
        (np.zeros((4, 3), int), r"int \[n, 4\]"),
        (np.zeros(4, int), r"int \[n, 4\]"),
        (np.zeros((4, 4)), r"not float64 \[4, 4\]"),
        (np.full((4, 4), -1), "pitches -1 to -1"),
        (np.full((4, 4), 128), "pitches 128 to 128"),
    ],
)
def test_what_is_no_chorale_is_refused(chords: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        midi_bytes(chords)


@given(chorales())
def test_the_same_chorale_gives_the_same_bytes(chords: np.ndarray) -> None:
    assert midi_bytes(chords, title="x") == midi_bytes(chords.copy(), title="x")


def test_real_chorales_come_back(real_chorales: pa.Table) -> None:
    pieces = chorale_table.chords_of(real_chorales)[::10]
    assert len(pieces) == 39
    for chords in pieces:
        np.testing.assert_array_equal(chords_of(parse(midi_bytes(chords))), chords)
