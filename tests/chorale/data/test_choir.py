"""Soprano, alto, tenor and bass are found by their names, or by range, whatever else plays."""

from pathlib import Path

import pytest
from score_files import line, midi, note, save_musicxml

from rnnray.chorale.data.choir import is_instrument, voices_named
from rnnray.chorale.data.repairs import Repair
from rnnray.chorale.data.scores import read_score
from rnnray.errors import UserError


@pytest.mark.parametrize(
    ("name", "voices"),
    [
        ("Soprano", (0,)),
        ("SOPRANI", (0,)),
        ("Chor: Sopran 1", (0,)),
        ("Dessus", (0,)),
        ("Tiple", (0,)),
        ("Cantus", (0,)),
        ("Alt", (1,)),
        ("Contralto", (1,)),
        ("Altus", (1,)),
        ("Ténor", (2,)),
        ("Tenöre", (2,)),
        ("Taille", (2,)),
        ("Baß", (3,)),
        ("Bässe", (3,)),
        ("Basse", (3,)),
        ("Bajo", (3,)),
        ("Bassus", (3,)),
        ("B.", (3,)),
        ("S1", (0,)),
        ("Bass (Cello)", (3,)),
        ("Soprano/Alto", (0, 1)),
        ("S. A.", (0, 1)),
        ("TB", (2, 3)),
        ("Frauen", (0, 1)),
        ("Choir SATB", ()),
        ("SATB", (0, 1, 2, 3)),
        ("Bass Guitar", ()),
        ("Alto Saxophone", ()),
        ("Tenorposaune", ()),
        ("Kontrabass", ()),
        ("Basso continuo", ()),
        ("Tenor Solo", ()),
        ("Voice a", ()),
        ("Piano", ()),
        ("", ()),
    ],
)
def test_names_of_parts_say_voices_in_six_languages(name: str, voices: tuple[int, ...]) -> None:
    assert voices_named(name) == voices


@pytest.mark.parametrize(
    "name", ["Orgel", "Flauto", "Violín", "Clavecin", "Cor", "Trompete", "Timpani", "Bassoon"]
)
def test_an_instrument_is_told_from_singers(name: str) -> None:
    assert is_instrument(name)
    assert not any(map(is_instrument, ("Coro", "Chor", "Bass", "Voix", "Voce", "Melody")))


SINGERS = [line(72, 74), line(67, 65), line(60, 59), line(48, 50)]
CHORDS = [[72, 67, 60, 48], [74, 65, 59, 50]]


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["Soprano", "Alto", "Tenor", "Bass"], [("Piano", line(90, 30))]),
        (["Bass", "Ténor", "Alt", "Sopran"], [("Flute", line(90)), ("Tuba", line(24, 26))]),
        (["Soprano, Oboe 1", "Alto Violin", "Tenor Viola", "Bass Continuo"], [("Horn", line(67))]),
        (["Voice 1", "Voice 2", "Voice 3", "Voice 4"], [("Piano", line(90, 30))]),
        (["", "", "", ""], [("Strings", line(90, 30))]),
        (["", "", "", ""], [("", SINGERS[0]), ("", SINGERS[3])]),
    ],
    ids=["names", "other languages", "doubled", "singers", "by range", "copies"],
)
def test_the_choir_is_chosen_before_anything_is_refused(
    tmp_path: Path, names: list[str], others: list[tuple[str, list[tuple[int, int, int]]]]
) -> None:
    singers = SINGERS[::-1] if names[0] == "Bass" else SINGERS
    tracks = [*zip(names, singers, strict=True), *others]
    score = read_score(midi(tmp_path / "a.mid", [(name, {0: notes}) for name, notes in tracks]))
    assert score.voices[::4].tolist() == CHORDS
    assert score.repairs == {Repair.LEFT_OUT: len(others)}


def test_a_voice_number_for_a_divided_chord_is_no_fifth_voice(tmp_path: Path) -> None:
    back = "<backup><duration>16</duration></backup>"
    parts = {
        name: [note(pitch, 16, 1)] * 5
        for name, pitch in (("Soprano", "C5"), ("Alto", "G4"), ("Tenor", "E4"), ("Bass", "C3"))
    }
    parts["Bass"][-1] += back + note("C2", 16, 2)
    score = read_score(save_musicxml(tmp_path / "a.musicxml", parts))
    assert score.voices[::16].tolist() == [[72, 67, 64, 48]] * 4 + [[72, 67, 64, 36]]
    assert score.repairs == {Repair.DIVIDED: 1}


@pytest.mark.parametrize(("doubled", "octave"), [("Soprano", -12), ("Bass", -12), ("Tenor", -2)])
def test_a_named_voice_that_is_doubled_throughout_keeps_its_outer_notes(
    tmp_path: Path, doubled: str, octave: int
) -> None:
    names = ("Soprano", "Alto", "Tenor", "Bass")
    tracks = [(name, {0: list(its)}) for name, its in zip(names, SINGERS, strict=True)]
    notes = tracks[names.index(doubled)][1][0]
    notes += [(pitch + octave, start, end) for pitch, start, end in notes]
    expected = [list(chord) for chord in CHORDS]
    if doubled == "Bass":
        expected = [[*chord[:3], chord[3] + octave] for chord in CHORDS]
    score = read_score(midi(tmp_path / "a.mid", tracks))
    assert score.voices[::4].tolist() == expected
    assert score.repairs == {Repair.DIVIDED: 2}


def test_a_singer_is_read_though_the_piano_cannot_be(tmp_path: Path) -> None:
    piano = line(40, 30)
    path = midi(tmp_path / "a.mid", [("Gesang", {0: SINGERS[0]}), ("Klavier", {0: piano})])
    assert read_score(path).voices[::4].tolist() == [[72], [74]]


def test_a_choir_that_nothing_tells_is_refused_with_its_names(tmp_path: Path) -> None:
    names = ("Soprano 1", "Soprano 2", "Alto", "Tenor", "Bass")
    notes = (line(76, 72), *SINGERS)
    tracks = [(name, {0: its}) for name, its in zip(names, notes, strict=True)]
    with pytest.raises(UserError, match=r"has 5 voices \(Soprano 1, Soprano 2, Alto, Tenor, Bass"):
        read_score(midi(tmp_path / "a.mid", tracks))
