"""Given notes reach the composer as requested, or are refused in a line."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from composers import chorales
from observed import refused
from score_files import QUARTER, midi, note, save_musicxml

from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.scores import read_score
from rnnray.chorale.given import Melody, given_tokens, open_bars, read_melody, read_opening
from rnnray.chorale.render.rendering import render
from rnnray.errors import UserError

PIECES = chorales(20, 33, 9)


@pytest.fixture(scope="module")
def corpus() -> pa.Table:
    names = [("a", "train"), ("b", "test"), ("c", "test")]
    return chorale_table.from_chorales(
        (name, split, chords) for (name, split), chords in zip(names, PIECES, strict=True)
    )


TUNE = (60, 60, 67, 67, 69, 69, 67)


@pytest.mark.parametrize("name", ["tune.mid", "tune.musicxml"])
def test_repeated_notes_of_a_melody_are_struck_again_in_every_file(
    tmp_path: Path, name: str
) -> None:
    """C C G G A A G, after a rest of a quarter: seven notes, not four."""
    if name.endswith(".mid"):
        notes = [(p, (i + 1) * QUARTER, (i + 2) * QUARTER) for i, p in enumerate(TUNE)]
        midi(tmp_path / name, [("Soprano", {0: notes})])
    else:
        words = [note(p, 4, 1) for p in ("", "C4", "C4", "G4", "G4", "A4", "A4", "G4")]
        bars = ["".join(words[:4]), "".join(words[4:])]
        save_musicxml(tmp_path / name, {"Soprano": bars})
    melody = read_melody(str(tmp_path / name), ["soprano"])
    assert melody.onsets is not None
    assert melody.onsets[:, 0].nonzero()[0].tolist() == [*range(0, 28, 4)]
    assert not melody.onsets[:, 1:].any()

    chords = np.where(melody.chords < 0, 48, melody.chords)
    files = render(
        str(tmp_path / "made"), chords, title="", tempo=120, instrument="sine", onsets=melody.onsets
    )
    again = read_score(tmp_path / "made.mid")
    np.testing.assert_array_equal(again.voices, chords)
    assert again.onsets[:, 0].sum() == len(TUNE)
    assert again.onsets[:, 1:].sum() == 3
    again = read_score(tmp_path / "made.musicxml")
    assert again.onsets[:, 0].nonzero()[0].tolist() == [*range(0, 28, 4)]
    assert again.onsets[:, 1:].sum() == 3, "tied notes are no onsets"
    assert (tmp_path / "made.svg").read_text().count('class="note"') == len(TUNE) + 2 * 3
    held = render(str(tmp_path / "held"), chords, title="", tempo=120, instrument="sine")
    for one, other in zip(files, held, strict=True):
        assert Path(one).read_bytes() != Path(other).read_bytes(), one


@pytest.mark.parametrize(
    ("seed_from", "expected"),
    [("test:0:8", PIECES[1][:8]), ("test:1:9", PIECES[2]), ("a:1", PIECES[0][:1])],
)
def test_an_opening_is_the_first_chords_of_the_named_chorale(
    corpus: pa.Table, seed_from: str, expected: np.ndarray
) -> None:
    np.testing.assert_array_equal(read_opening(corpus, seed_from), expected)


@pytest.mark.parametrize(
    ("seed_from", "words"),
    [
        ("8", "such as test:2:8"),
        ("test:0:", "such as test:2:8"),
        ("test:0:0", "such as test:2:8"),
        ("test:0:-1", "such as test:2:8"),
        ("test:0:1.5", "such as test:2:8"),
        ("test:0:²", "such as test:2:8"),
        ("test:1:10", "c has only 9 chords"),
        ("test:2:1", "test"),
        ("valid:0:1", "valid"),
        ("nobody:1", "nobody"),
    ],
)
def test_an_opening_that_is_not_there_is_refused_in_a_line(
    corpus: pa.Table, seed_from: str, words: str
) -> None:
    assert words in refused(read_opening, corpus, seed_from)


def csv(path: Path, voices: np.ndarray) -> str:
    header = ",".join(f"note{voice}" for voice in range(voices.shape[1]))
    np.savetxt(path, voices, "%d", ",", header=header, comments="")
    return str(path)


def test_a_melody_goes_to_the_voices_it_is_kept_for(tmp_path: Path) -> None:
    chords = PIECES[0]
    one = csv(tmp_path / "one.csv", chords[:, :1])
    two = csv(tmp_path / "two.csv", chords[:, [0, 3]])
    whole = csv(tmp_path / "whole.csv", chords)
    for path, keep, kept in (
        (one, ["soprano"], {0: 0}),
        (one, ["tenor"], {2: 0}),
        (two, ["soprano", "bass"], {0: 0, 3: 3}),
        (two, ["alto", "tenor"], {1: 0, 2: 3}),
        (whole, ["soprano"], {0: 0}),
        (whole, ["bass", "alto"], {3: 3, 1: 1}),
        (whole, ["soprano", "alto", "tenor", "bass"], {0: 0, 1: 1, 2: 2, 3: 3}),
    ):
        read = read_melody(path, keep)
        melody = np.concatenate([np.zeros((read.rest, 4), np.int16), read.chords])
        melody[: read.rest, [voice for voice in range(4) if voice not in kept]] = -1
        assert read.chords.dtype == np.int16
        for voice in range(4):
            expected = chords[:, kept[voice]] if voice in kept else np.full(len(chords), -1)
            np.testing.assert_array_equal(melody[:, voice], expected)


def test_a_melody_of_another_number_of_voices_is_refused_in_a_line(tmp_path: Path) -> None:
    path = csv(tmp_path / "two.csv", PIECES[0][:, :2])
    for keep, words in (
        (["soprano"], "has 2 voices, but --keep names 1"),
        (["soprano", "alto", "bass"], "has 2 voices, but --keep names 3"),
        (["bass", "bass"], "--keep bass bass: names a voice twice"),
    ):
        assert words in refused(read_melody, path, keep)
    assert "nothing.mid" in refused(read_melody, str(tmp_path / "nothing.mid"), ["soprano"])


def test_given_tokens_hold_the_melody_or_the_opening() -> None:
    melody = np.full((6, 4), -1, np.int16)
    melody[:, 0] = [60, 0, 62, 64, 64, 65]
    opening = np.array([[70, 65, 0, 50], [71, 66, 60, 0]], np.int16)
    none = [-1, -1, -1, -1]
    sung = [[note, -1, -1, -1] for note in (25, 0, 27, 29, 29, 30)]
    begun = [[35, 30, 0, 15], [36, 31, 25, 0]]
    for arguments, expected in (
        ((8, None, None), [none] * 8),
        ((3, opening, None), [*begun, none]),
        ((6, None, Melody(melody)), sung),
        ((7, None, Melody(melody)), [*sung, none]),
        ((9, None, Melody(melody, rest=2)), [*sung, none]),
        ((2, opening, None), begun),
    ):
        given = given_tokens(*arguments)
        assert given.dtype == np.int8
        assert given.reshape(-1, 4).tolist() == expected


@pytest.mark.parametrize(
    ("opening", "melody", "words"),
    [(5, None, "--seed-from has 5 chords"), (None, 6, "the melody has 7")],
)
def test_more_given_than_asked_for_is_refused_in_a_line(
    opening: int | None, melody: int | None, words: str
) -> None:
    first, given = (None if n is None else np.full((n, 4), 60, np.int16) for n in (opening, melody))
    with pytest.raises(UserError, match=f"{words}.*more than --chords 4"):
        given_tokens(4, first, None if given is None else Melody(given, rest=1))


def test_an_opening_never_overwrites_a_melody() -> None:
    both = np.full((2, 4), 60, np.int16)
    with pytest.raises(
        UserError, match="--seed-from and --melody both give the beginning of the piece"
    ):
        given_tokens(4, both, Melody(both))


@pytest.mark.parametrize("keep", ["soprano", "tenor"])
@pytest.mark.parametrize(("rest", "position"), [(0, 0), (12, 12), (32, 0), (35, 3)])
def test_silence_before_a_melody_is_its_position_in_the_bar(
    tmp_path: Path, rest: int, position: int, keep: str
) -> None:
    tune = np.array([[60], [62], [0], [64]], np.int16)
    file = csv(tmp_path / "tune.csv", np.concatenate([np.zeros((rest, 1), np.int16), tune]))
    melody = read_melody(file, [keep])
    assert (melody.rest, melody.bar_position) == (rest, position)
    voice = ["soprano", "alto", "tenor", "bass"].index(keep)
    assert melody.chords[:, voice].tolist() == [60, 62, 0, 64]
    assert len(given_tokens(rest + 4, None, melody)) == 16


def time(metre: str) -> str:
    beats, unit = metre.split("/")
    return f"<time><beats>{beats}</beats><beat-type>{unit}</beat-type></time>"


@pytest.mark.parametrize(
    ("metre", "upbeat", "silence", "rest", "words"),
    [
        ("4/4", 4, 0, 12, ["an upbeat, which is kept: on beat 4 of a bar,"]),
        ("4/4", 4, 2, 14, ["an upbeat, which is kept: on beat 4 of a bar,"]),
        ("3/4", 2, 0, 14, ["is in 3/4, but", "an upbeat, which is kept: on beat 4.5 of"]),
        ("3/4", 0, 0, 0, ["is in 3/4, but the composer knows bars of 4/4 alone"]),
        ("6/8", 0, 4, 4, ["is in 6/8, but"]),
        ("4/4", 0, 0, 0, []),
        ("2/2", 0, 0, 0, []),
    ],
)
def test_an_upbeat_is_the_melody_s_position_in_the_bar_and_another_metre_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    metre: str,
    upbeat: int,
    silence: int,
    rest: int,
    words: list[str],
) -> None:
    """Upbeat and silence in sixteenths; the silence is at the beginning of the first bar."""
    beats, unit = map(int, metre.split("/"))
    bar = 16 * beats // unit
    first = upbeat or bar
    bars = [note("", silence, 1) * (silence > 0) + note("C5", first - silence, 1)]
    bars += [note("D5", bar, 1), note("E5", bar, 1)]
    path = save_musicxml(tmp_path / "a.musicxml", {"Soprano": bars}, time(metre))
    melody = read_melody(str(path), ["soprano"])
    assert (melody.rest, melody.bar_position) == (rest, rest % 16)
    assert melody.onsets is not None
    begins = [0, first - silence, first - silence + bar]
    assert melody.onsets[:, 0].nonzero()[0].tolist() == begins
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True))


def test_open_bars_are_composed_anew_and_the_bars_around_them_are_kept() -> None:
    chords = np.arange(50, 50 + 36, dtype=np.int16)[:, None] + np.zeros(4, np.int16)
    melody = Melody(chords, np.ones((36, 4), bool), rest=12)  # bars 1 (a quarter), 2, 3
    opened = open_bars(melody, (2, 2))
    inside = np.zeros(36, bool)
    inside[4:20] = True
    assert (opened.chords[inside] == -1).all()
    assert opened.onsets is not None
    assert not opened.onsets[inside].any()
    np.testing.assert_array_equal(opened.chords[~inside], chords[~inside])
    assert opened.onsets[~inside].all()
    assert opened.rest == 12
    with pytest.raises(UserError, match="--open-bars 2:4: the melody ends in bar 3"):
        open_bars(melody, (2, 4))


def test_a_melody_of_silence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no notes in the voices to keep \(soprano\)"):
        read_melody(csv(tmp_path / "none.csv", np.zeros((8, 1), np.int16)), ["soprano"])


@pytest.mark.parametrize(
    ("pitches", "words"),
    [
        ([60, 67, 83], "quarter note 0.5 from the beginning: pitch 83 .*; --transpose -2 moves"),
        ([60, 67, 83], "; so does --transpose -12, in the same key"),
        ([60, 31, 40], "quarter note 0.25 from the beginning: pitch 31 .*; --transpose 5 moves"),
        ([36, 82], "the file's pitches span 46 semitones"),
        ([36, 81], ""),
        ([86, 90], "--transpose -9 moves all notes into this range; so does --transpose -12"),
    ],
)
def test_a_melody_out_of_range_says_by_how_much_to_transpose(
    tmp_path: Path, pitches: list[int], words: str
) -> None:
    file = csv(tmp_path / "tune.csv", np.array([pitches], np.int16).T)
    if not words:
        assert read_melody(file, ["soprano"]).chords[:, 0].tolist() == pitches
        return
    message = refused(read_melody, file, ["soprano"])
    assert re.search(words, message)
    if found := re.search(r"--transpose (-?\d+) moves", message):
        moved = read_melody(file, ["soprano"], int(found[1])).chords[:, 0]
        assert moved.tolist() == [pitch + int(found[1]) for pitch in pitches]
        step = -1 if int(found[1]) < 0 else 1
        less = refused(read_melody, file, ["soprano"], int(found[1]) - step)
        assert f"--transpose {found[1]} moves" in less


@pytest.mark.parametrize(
    ("pitches", "keep", "words"),
    [
        (
            [43, 48, 45],
            "soprano",
            "100% .* soprano lie .*--keep bass or --transpose 24",
        ),
        ([72, 76, 79], "bass", "100% .* bass lie .*--keep soprano or --transpose -24"),
        ([72, 76, 79], "soprano", ""),
        ([59, 64, 67, 72, 74], "soprano", ""),  # one note below the range brings no warning
        ([43, 48, 45], "bass", ""),
    ],
)
def test_a_voice_that_is_kept_as_another_one_is_noticed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pitches: list[int],
    keep: str,
    words: str,
) -> None:
    read_melody(csv(tmp_path / "tune.csv", np.array([pitches], np.int16).T), [keep])
    said = capsys.readouterr().out
    assert re.search(words, said) if words else not said
