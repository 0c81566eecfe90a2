"""Chorales on request: what is asked for is kept, what cannot be is told in a line."""

import io
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pyarrow as pa
import pytest
from composers import chorales, save_checkpoint

from rnnray.chorale import composing, table
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.midi import midi_bytes
from rnnray.chorale.request import Composition
from rnnray.chorale.tokens import to_chords, to_tokens
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
    np.testing.assert_array_equal(composing.opening(corpus, seed_from), expected)


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
        composing.opening(corpus, seed_from)
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
        melody = composing.melody(path, keep)
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
            composing.melody(path, keep)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"nothing\.mid"):
        composing.melody(str(tmp_path / "nothing.mid"), ["soprano"])


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
        given = composing.given_tokens(*arguments)
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
        composing.given_tokens(4, *parts)


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> TrainedComposer:
    return TrainedComposer(save_checkpoint(tmp_path_factory.mktemp("c") / "c", "strong"))


def test_a_composition_keeps_its_opening_and_melody_and_is_published_to_be_heard_and_seen(
    composer: TrainedComposer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The harmonisation of a file's melody, with an opening, at two temperatures."""
    melody = composing.melody(csv(tmp_path / "melody.csv", PIECES[1][:16, :1]), ["soprano"])
    opening = PIECES[0][:3]
    given = composing.given_tokens(18, opening, melody)
    arguments: dict[str, Any] = {"count": 2, "top_p": 0.95, "seed": 4}
    composed = composing.compose(composer, given, (0.5, 1.5), **arguments)
    assert list(composed) == [0.5, 1.5]
    for temperature, compositions in composed.items():
        assert len(compositions) == 2
        for one in compositions:
            np.testing.assert_array_equal(one.chords[:3], opening)
            np.testing.assert_array_equal(one.chords[3:16, 0], PIECES[1][3:16, 0])
        alone = composing.compose(composer, given, (temperature,), **arguments)[temperature]
        for one, again in zip(compositions, alone, strict=True):
            np.testing.assert_array_equal(one.chords, again.chords)
        assert not np.array_equal(compositions[0].chords, compositions[1].chords)
    assert not np.array_equal(composed[0.5][0].chords, composed[1.5][0].chords)

    few = {temperature: compositions[:1] for temperature, compositions in composed.items()}
    uri = str(tmp_path / "out")
    result = composing.publish(few, given, PIECES, uri, tempo=90, instrument="sine")
    assert list(result["temperatures"]) == ["0.5", "1.5"]
    assert result["bach"]["steps"] == 62
    for temperature, (one,) in few.items():
        figures = result["temperatures"][f"{temperature:g}"]
        folder = f"{uri}/temperature={temperature:g}/0000"
        assert set(figures["files"]) >= {
            folder + suffix for suffix in (".wav", ".mid", ".musicxml", ".png", ".svg")
        }
        assert all(Path(file).stat().st_size > 0 for file in figures["files"])
        midi = midi_bytes(one.chords, tempo=90, title=f"Chorale 0 at temperature {temperature:g}")
        assert Path(folder + ".mid").read_bytes() == midi
        assert figures["nats_per_note"] == pytest.approx(one.nats[given == -1].mean())
        assert figures["steps"] == 18
    assert "beside Bach" in capsys.readouterr().out


def test_a_chorale_that_was_given_whole_can_be_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaded = []

    def render(uri: str, chords: np.ndarray, *, given: int, **_: Any) -> list[str]:
        shaded.append(given)
        return [uri]

    monkeypatch.setattr(composing, "render", render)
    given = to_tokens(PIECES[2])
    one = Composition(to_chords(given), np.zeros(len(given), np.float32))
    half = given.copy()
    half[4 * 5 + 2 :] = -1
    for tokens in (given, half):
        result = composing.publish(
            {1.0: [one]}, tokens, PIECES, str(tmp_path), tempo=80, instrument="organ"
        )
        mean = result["temperatures"]["1"]["nats_per_note"]
        assert np.isnan(mean) if tokens is given else mean == 0
    assert shaded == [0, 5]


def test_the_midi_of_a_chorale_is_a_melody_to_keep(tmp_path: Path) -> None:
    """What compose.py wrote can be given to it again."""
    chords = np.repeat(np.array([[72, 67, 60, 48], [74, 65, 59, 50]], np.int16), 4, axis=0)
    content = midi_bytes(chords)
    assert len(mido.MidiFile(file=io.BytesIO(content)).tracks) == 5
    (tmp_path / "0000.mid").write_bytes(content)
    melody = composing.melody(str(tmp_path / "0000.mid"), ["soprano", "bass"])
    np.testing.assert_array_equal(melody[:, [0, 3]], chords[:, [0, 3]])
    assert (melody[:, 1:3] == -1).all()
