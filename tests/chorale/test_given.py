"""What is given to the composer: kept as it was asked for, or refused in a line."""

import io
from pathlib import Path

import mido
import numpy as np
import pyarrow as pa
import pytest
from composers import chorales

from rnnray.chorale import table
from rnnray.chorale.given import given_tokens, read_melody, read_opening
from rnnray.chorale.midi import midi_bytes
from rnnray.errors import UserError

PIECES = chorales(20, 33, 9)


@pytest.fixture(scope="module")
def corpus() -> pa.Table:
    names = [("a", "train"), ("b", "test"), ("c", "test")]
    return table.from_chorales(
        (name, split, chords) for (name, split), chords in zip(names, PIECES, strict=True)
    )


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
    with pytest.raises(UserError, match=words) as error:
        read_opening(corpus, seed_from)
    assert "\n" not in str(error.value)


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
        melody = read_melody(path, keep)
        assert melody.dtype == np.int16
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
        with pytest.raises(UserError, match=words) as error:
            read_melody(path, keep)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"nothing\.mid"):
        read_melody(str(tmp_path / "nothing.mid"), ["soprano"])


def test_given_tokens_hold_the_melody_and_before_it_the_opening() -> None:
    melody = np.full((6, 4), -1, np.int16)
    melody[:, 0] = [60, 0, 62, 64, 64, 65]
    opening = np.array([[70, 65, 0, 50], [71, 66, 60, 0]], np.int16)
    none = [-1, -1, -1, -1]
    sung = [[25, -1, -1, -1], [0, -1, -1, -1]]
    rest = [[27, -1, -1, -1], *[[29, -1, -1, -1]] * 2, [30, -1, -1, -1]]
    begun = [[35, 30, 0, 15], [36, 31, 25, 0]]
    for arguments, expected in (
        ((8, None, None), [none] * 8),
        ((3, opening, None), [*begun, none]),
        ((6, None, melody), [*sung, *rest]),
        ((7, opening, melody), [*begun, *rest, none]),
        ((2, opening, None), begun),
    ):
        given = given_tokens(*arguments)
        assert given.dtype == np.int8
        assert given.reshape(-1, 4).tolist() == expected


@pytest.mark.parametrize(
    ("opening", "melody", "words"),
    [(5, None, "--seed-from has 5 chords"), (None, 6, "the melody has 6"), (2, 5, "the melody")],
)
def test_more_given_than_asked_for_is_refused_in_a_line(
    opening: int | None, melody: int | None, words: str
) -> None:
    parts = [None if n is None else np.full((n, 4), 60, np.int16) for n in (opening, melody)]
    with pytest.raises(UserError, match=f"{words}.*more than --chords 4"):
        given_tokens(4, *parts)


def test_the_midi_of_a_chorale_is_a_melody_to_keep(tmp_path: Path) -> None:
    """What compose.py wrote can be given to it again."""
    chords = np.repeat(np.array([[72, 67, 60, 48], [74, 65, 59, 50]], np.int16), 4, axis=0)
    content = midi_bytes(chords)
    assert len(mido.MidiFile(file=io.BytesIO(content)).tracks) == 5
    (tmp_path / "0000.mid").write_bytes(content)
    melody = read_melody(str(tmp_path / "0000.mid"), ["soprano", "bass"])
    np.testing.assert_array_equal(melody[:, [0, 3]], chords[:, [0, 3]])
    assert (melody[:, 1:3] == -1).all()
