import io
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from observed import refused
from score_files import Notes, line, midi, musicxml, note, save_musicxml, staff

from rnnray.chorale.data.repairs import Repair
from rnnray.chorale.data.scores import read_score, read_voices
from rnnray.errors import UserError

VOICES = [line(72, 74), line(67, 65), line(60, 59), line(48, 50)]
EXPECTED = np.repeat([[72, 67, 60, 48], [74, 65, 59, 50]], 4, axis=0)


@pytest.mark.parametrize(
    "tracks",
    [
        [("", {i: notes}) for i, notes in enumerate(VOICES)],
        [("", {0: notes}) for notes in reversed(VOICES)],
        [("choir", dict(enumerate(VOICES)))],
        [("organ", {0: [*VOICES[0], *VOICES[1], *VOICES[2], *VOICES[3]]})],
        [("left", {0: VOICES[2] + VOICES[3]}), ("right", {1: VOICES[0] + VOICES[1]})],
        [("", {i: notes}) for i, notes in enumerate(VOICES)] + [("drums", {9: line(38, 38)})],
    ],
    ids=["tracks", "bass first", "channels", "one channel", "two hands", "with drums"],
)
def test_four_voices_are_found_however_they_are_stored(
    tmp_path: Path, tracks: list[tuple[str, dict[int, Notes]]]
) -> None:
    kind = 0 if len(tracks) == 1 else 1
    voices = read_voices(midi(tmp_path / "a.mid", tracks, kind))
    assert voices.dtype == np.int16
    np.testing.assert_array_equal(voices, EXPECTED)


def test_labels_order_voices_that_cross(tmp_path: Path) -> None:
    names = ("Bass (cello)", "TENOR", "Soprano 1", "Alto.")
    tracks = [(name, {0: line(60 + i)}) for i, name in enumerate(names)]
    assert read_voices(midi(tmp_path / "a.mid", tracks))[0].tolist() == [62, 63, 61, 60]
    tracks[0] = ("Bassoon", {0: line(60)})  # one that is none of them: by pitch
    assert read_voices(midi(tmp_path / "a.mid", tracks))[0].tolist() == [63, 62, 61, 60]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(36, 81)), min_size=1),
    st.sampled_from([24, 120, 480]),
    st.integers(-1, 1),
)
def test_a_melody_keeps_every_note_and_rest(
    tmp_path: Path, steps: list[tuple[int, int, int]], quarter: int, late: int
) -> None:
    expected: list[int] = []
    notes: Notes = []
    for rest, length, pitch in steps:
        start = len(expected) + rest
        # Played a little early or late, yet nearest to its sixteenth.
        ticks = [max(0, at * quarter // 4 + late * quarter // 16) for at in (start, start + length)]
        notes.append((pitch, *ticks))
        expected += [0] * rest + [pitch] * length
    voices = read_voices(midi(tmp_path / "a.mid", [("", {0: notes})], quarter=quarter))
    assert voices[:, 0].tolist() == expected


def test_a_unison_of_two_voices_is_two_notes(tmp_path: Path) -> None:
    both = line(64, 62) + line(60, 62)
    assert read_voices(midi(tmp_path / "a.mid", [("", {0: both})]))[::4].tolist() == [
        [64, 60],
        [62, 62],
    ]


def test_notes_too_short_for_the_grid_are_counted(tmp_path: Path) -> None:
    notes = [(60, 0, 480), (62, 480, 500), (64, 500, 960)]
    score = read_score(midi(tmp_path / "a.mid", [("", {0: notes})]))
    assert score.repairs == {Repair.TOO_SHORT: 1}
    assert score.voices[:, 0].tolist() == [60] * 4 + [64] * 4


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([("x", {})], ": has no notes"),
        ([("x", {9: line(40)})], ": has no notes"),
        ([("x", {0: [(60, 0, 9)]})], ": has no notes, only too short ones"),
        ([(f"v{i}", {0: line(40 + i)}) for i in range(5)], ": has 5 voices (v0, v1, v2, v3, v4)"),
        ([("x", {0: line(40) + line(45) + line(50) + line(55) + line(60)})], ": has 5 voices (x)"),
        ([("x", {0: [*line(60, 62, 64), (70, 720, 960)]})], ", x, quarter note 1.5 from the beg"),
        ([("x", {0: line(60, 82)})], ", x, quarter note 1 from the beginning: pitch 82"),
        ([("x", {0: line(35)})], ", x, quarter note 0 from the beginning: pitch 35"),
        ([("x", {0: [(60, 0, 1 << 27)]})], ", x, lasts 1118481 sixteenth notes; at most 65536"),
    ],
)
def test_a_midi_file_that_cannot_be_used_is_a_clear_error(
    tmp_path: Path, tracks: list[tuple[str, dict[int, Notes]]], message: str
) -> None:
    path = midi(tmp_path / "a.mid", tracks)
    assert refused(read_voices, path).startswith(f"{path}{message}")


def test_a_midi_file_without_a_common_beat_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of type 2, which has no common beat"):
        read_voices(midi(tmp_path / "a.mid", [("", {0: line(60)})], kind=2))


def test_two_staves_of_two_voices_are_a_chorale(tmp_path: Path) -> None:
    back = "<backup><duration>8</duration></backup>"
    measures = [
        staff(["C5", "D5"], ["G4", "D5"], 4, 1) + back + staff(["E4", "F4"], ["C3"], 4, 2),
        # The alto rests: its voice is left out of the file.
        note("C5", 8, 1) + back + staff(["", "E4"], ["C3", "C3"], 4, 2),
    ]
    path = save_musicxml(tmp_path / "a.musicxml", {"Organ": measures}, "<staves>2</staves>")
    assert read_voices(path)[::4].tolist() == [
        [72, 67, 64, 48],
        [74, 74, 65, 48],
        [72, 0, 0, 48],
        [72, 0, 64, 48],
    ]


def test_a_compressed_lead_sheet_with_a_pickup_and_a_tie_is_a_melody(tmp_path: Path) -> None:
    harmony = "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>"
    tied = "<note><pitch><step>A</step><octave>4</octave></pitch><duration>{}</duration>{}</note>"
    measures = [
        note("G4", 4, 1),
        harmony + note("", 4, 1) + tied.format(4, '<tie type="start"/>'),
        tied.format(2, '<tie type="stop"/>') + note("B4", 2, 1),
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>',
        )
        archive.writestr("a.xml", musicxml({"Melody": measures}))
    path = tmp_path / "a.mxl"
    path.write_bytes(buffer.getvalue())
    assert read_voices(path)[::2, 0].tolist() == [67, 67, 0, 0, 69, 69, 69, 71]


def test_a_transposing_instrument_is_read_as_it_sounds(tmp_path: Path) -> None:
    down = (
        "<transpose><diatonic>0</diatonic><chromatic>0</chromatic>"
        "<octave-change>-1</octave-change></transpose>"
    )
    path = save_musicxml(tmp_path / "a.xml", {"Tenor": [note("C5", 4, 1)]}, down)
    assert read_voices(path)[:, 0].tolist() == [60] * 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (musicxml({"S": [note("C5", 4, 1), note("C7", 4, 1)]}), ", S, bar 2: pitch 96 is"),
        (musicxml({"S": [note("", 4, 1)]}), ": has no notes"),
        (
            musicxml({f"V{i}": [note(f"{p}4", 4, 1)] for i, p in enumerate("CEGBA")}),
            ": has 5 voices (V0, V1",
        ),
        (
            musicxml(
                {"S": [note("E4", 4, 1) + note("G4", 4, 1, 1, "<chord/>") + note("C4", 8, 1)]}
            ),
            ", S, bar 1: 2 notes at once, elsewhere 1",
        ),
        ("", ": the file is empty"),
        ("<score-partwise>", ": cannot be read as MusicXML"),
        ("<html/>", ": cannot be read as MusicXML"),
    ],
)
def test_musicxml_that_cannot_be_used_is_a_clear_error(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "a.xml"
    path.write_text(content)
    assert refused(read_voices, path).startswith(f"{path}{message}")


def test_a_csv_gives_as_many_voices_as_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("note0,note1\n60,0\n62,50\n")
    assert read_voices(str(path)).tolist() == [[60, 0], [62, 50]]


@pytest.mark.parametrize("name", ["a.wav", "a", "missing.mid", "folder.mid"])
def test_what_is_no_such_file_is_a_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.mid").mkdir()
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert refused(read_voices, tmp_path / name).startswith(f"{tmp_path / name}: ")


def test_a_midi_file_cut_anywhere_is_read_or_a_clear_error(tmp_path: Path) -> None:
    whole = midi(tmp_path / "a.mid", [("", {0: notes}) for notes in VOICES]).read_bytes()
    errors = 0
    for before, after in pairwise(range(0, len(whole), 5)):
        for damaged in (whole[:before], whole[:before] + b"\xff" + whole[after:]):
            (tmp_path / "b.mid").write_bytes(damaged)
            try:
                voices = read_voices(tmp_path / "b.mid")
                assert 1 <= voices.shape[1] <= 4
            except UserError:
                errors += 1
    assert errors > 20
