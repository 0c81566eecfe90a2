"""Bars, staves and voices of MusicXML: every note in its voice, where its bar says."""

from pathlib import Path

import pytest
from score_files import musicxml, note, save_musicxml, staff

from rnnray.chorale.data.repairs import Repair
from rnnray.chorale.data.scores import Score, read_score

BACK = "<backup><duration>16</duration></backup>"


def read(path: Path, parts: dict[str, list[str]], attributes: str = "") -> Score:
    return read_score(save_musicxml(path / "a.musicxml", parts, attributes))


def quarters(*pitches: str) -> str:
    return "".join(note(pitch, 4, 1) for pitch in pitches)


def test_a_bar_that_is_short_in_one_part_does_not_shift_it(tmp_path: Path) -> None:
    full = quarters("C5", "D5", "E5", "D5")
    score = read(
        tmp_path, {"Soprano": [full] * 3, "Alto": [full, quarters("G4", "A4", "G4"), full]}
    )
    assert score.voices[::4, 1].tolist() == [72, 74, 76, 74, 67, 69, 67, 0, 72, 74, 76, 74]
    assert score.repairs == {Repair.SHORT_BAR: 1}


def test_an_upbeat_and_a_rest_for_a_whole_bar_are_as_long_as_the_others_say(tmp_path: Path) -> None:
    whole = '<note><rest measure="yes"/><duration>16</duration><voice>1</voice></note>'
    three = "<time><beats>3</beats><beat-type>4</beat-type></time>"
    parts = {
        "Soprano": [note("C5", 4, 1), note("D5", 12, 1), note("E5", 12, 1)],
        "Alto": [whole, whole, note("G4", 12, 1)],
    }
    score = read(tmp_path, parts, three)
    assert score.voices.T[:, ::4].tolist() == [[72, 74, 74, 74, 76, 76, 76], [0] * 4 + [67] * 3]
    assert not score.repairs


@pytest.mark.parametrize("last", ["lacking", "empty"])
def test_a_bar_that_a_part_lacks_is_counted(tmp_path: Path, last: str) -> None:
    full = quarters("C5", "D5", "E5", "D5")
    bass = [full.replace("5<", "3<")] + [""] * (last == "empty")
    score = read(tmp_path, {"Soprano": [full] * 2, "Bass": bass})
    assert score.voices[::4, 1].tolist() == [48, 50, 52, 50, 0, 0, 0, 0]
    assert score.repairs == {Repair.SHORT_BAR: 1}


@pytest.mark.parametrize(
    ("lengths", "short"),
    [
        ([16, 12, 16, 16], 1),
        ([16, 12, 4, 16], 0),  # divided, as by a repeat
        ([4, 16, 16, 12], 0),  # an upbeat, and the last bar without it
        ([16, 8, 16, 12, 16, 16], 2),
    ],
)
def test_a_bar_that_is_short_in_all_parts_is_counted(
    tmp_path: Path, lengths: list[int], short: int
) -> None:
    four = "<time><beats>4</beats><beat-type>4</beat-type></time>"
    parts = {
        name: [note(pitch, n, 1) for n in lengths] for name, pitch in (("S", "C5"), ("A", "G4"))
    }
    score = read(tmp_path, parts, four)
    assert len(score.voices) == sum(lengths)
    assert score.repairs == ({Repair.SHORT_BARS: short} if short else {})


def test_a_bar_with_only_the_second_voice_is_the_alto_s(tmp_path: Path) -> None:
    first = quarters("C5", "D5") + "<backup><duration>8</duration></backup>"
    bars = [first + note("G4", 8, 2), note("A4", 8, 2), first + note("G4", 8, 2)]
    score = read(tmp_path, {"": bars})
    assert score.voices[::4].tolist() == [[72, 67], [74, 67], [0, 69], [0, 69], [72, 67], [74, 67]]


def test_a_voice_number_that_changes_is_no_fifth_voice(tmp_path: Path) -> None:
    def bar(second: int, staff: int) -> str:
        upper, lower = ("C5", "G4") if staff == 1 else ("E4", "C3")
        return (
            note(upper, 16, 4 * staff - 3, staff)
            + BACK
            + note(lower, 16, 4 * staff - 4 + second, staff)
        )

    bars = [
        bar(2, 1) + BACK + bar(2, 2),
        bar(3, 1) + BACK + bar(2, 2),
        bar(2, 1) + BACK + bar(3, 2),
    ]
    score = read(tmp_path, {"Choir": bars}, "<staves>2</staves>")
    assert score.voices[::16].tolist() == [[72, 67, 64, 48]] * 3
    assert not score.repairs


def test_cue_and_grace_notes_are_not_sung(tmp_path: Path) -> None:
    grace = "<note><grace/><pitch><step>D</step><octave>5</octave></pitch><voice>1</voice></note>"
    cue = note("E5", 4, 1).replace("<note>", "<note><cue/>")
    score = read(tmp_path, {"Soprano": [grace + note("C5", 4, 1) + cue + note("D5", 8, 1)]})
    assert score.voices[::4, 0].tolist() == [72, 0, 74, 74]
    assert score.repairs == {Repair.CUE: 1, Repair.GRACE: 1}


@pytest.mark.parametrize("timewise", [False, True])
def test_chords_on_one_stem_are_for_both_voices_of_a_staff(tmp_path: Path, timewise: bool) -> None:
    def chord(upper: str, lower: str) -> str:
        return note(upper, 4, 1) + note(lower, 4, 1, 1, "<chord/>")

    text = musicxml(
        {"": [chord("C5", "G4") + chord("D5", "A4"), staff(["E5", "C5"], ["G4"], 4, 1)]}
    )
    if timewise:
        text = text.replace("score-partwise", "score-timewise").replace('<part id="P0">', "", 1)
        text = text.replace("</part></score", "</score")
        text = text.replace('number="1">', 'number="1"><part id="P0">')
        text = text.replace('number="2">', 'number="2"><part id="P0">')
        text = text.replace("</measure>", "</part></measure>")
    (tmp_path / "a.xml").write_text(text)
    score = read_score(tmp_path / "a.xml")
    assert score.voices[::4].tolist() == [[72, 67], [74, 69], [76, 67], [72, 67]]
    assert not score.repairs


def test_a_voice_that_crosses_to_the_other_staff_is_one_voice(tmp_path: Path) -> None:
    lower = note("C3", 4, 5, 2) + note("C4", 4, 5, 1) + note("C3", 8, 5, 2)
    score = read(tmp_path, {"": [note("C5", 16, 1) + BACK + lower]}, "<staves>2</staves>")
    assert score.voices[::4].tolist() == [[72, 48], [72, 60], [72, 48], [72, 48]]
