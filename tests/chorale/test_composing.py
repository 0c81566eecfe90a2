"""Chorales on request: given notes are kept, and all files are written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from composers import chorales
from lazily import Lazily, tf

from rnnray.chorale import composing
from rnnray.chorale.composing import silent_voices
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus_statistics import statistics_of
from rnnray.chorale.given import Melody, given_tokens
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.request import Composition
from rnnray.chorale.tokens import to_chords, to_tokens

sampling = Lazily("rnnray.chorale.sampler")

PIECES = chorales(20, 33, 9)
BACH = statistics_of(
    chorale_table.from_chorales((f"{number}", "test", piece) for number, piece in enumerate(PIECES))
)


class Fake:
    """Composes by the bar position, and by nothing before it: the record has real composers."""

    def initial_state(self, batch: int, bar_position: Any, _: Any) -> Any:
        logits = tf.constant(np.random.default_rng(0).normal(0, 3, (16, 47)), tf.float32)
        state = tf.tile(logits[None, bar_position], [batch, 1])
        return state, state

    def step(self, state: Any, notes: Any, voice: int) -> Any:
        return state, state

    def sampler(self, **options: Any) -> Any:
        return sampling.Sampler(self, **options)


@pytest.mark.usefixtures("not_compiled")
def test_a_composition_keeps_its_melody_and_is_published_to_be_heard_and_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The harmonisation of a melody that begins within a bar, at two temperatures."""
    melody = np.full((16, 4), -1, np.int16)
    melody[:, 0] = PIECES[1][:16, 0]
    given = given_tokens(30, None, Melody(melody, rest=12))
    arguments: dict[str, Any] = {"count": 2, "top_p": 0.95, "seed": 4, "bar_position": 12}
    composer: Any = Fake()
    composed = composing.compose(composer, given, (0.5, 1.5), **arguments)
    assert list(composed) == [0.5, 1.5]
    for compositions in composed.values():
        assert len(compositions) == 2
        for one in compositions:
            np.testing.assert_array_equal(one.chords[:16, 0], PIECES[1][:16, 0])
        assert not np.array_equal(compositions[0].chords, compositions[1].chords)
    assert not np.array_equal(composed[0.5][0].chords, composed[1.5][0].chords)
    alone = composing.compose(composer, given, (1.5,), **arguments)[1.5]
    for one, again in zip(composed[1.5], alone, strict=True):
        np.testing.assert_array_equal(one.chords, again.chords)
    elsewhere = composing.compose(composer, given, (1.5,), **arguments | {"bar_position": 0})[1.5]
    assert not np.array_equal(composed[1.5][0].nats, elsewhere[0].nats)

    drafts = composing.compose(composer, given, (1.5,), particles=4, **arguments)[1.5][0]
    assert not np.array_equal(drafts.chords, composed[1.5][0].chords)
    np.testing.assert_array_equal(drafts.chords[:16, 0], PIECES[1][:16, 0])

    few = {temperature: compositions[:1] for temperature, compositions in composed.items()}
    uri = str(tmp_path / "out")
    onsets = np.zeros((16, 4), bool)
    onsets[::2, 0] = True
    result = composing.publish(
        few, given, BACH, uri, tempo=90, instrument="sine", rest=12, onsets=onsets
    )
    assert list(result["temperatures"]) == ["0.5", "1.5"]
    assert result["bach"]["steps"] == 62
    for temperature, (one,) in few.items():
        statistics = result["temperatures"][f"{temperature:g}"]
        folder = f"{uri}/temperature={temperature:g}/0000"
        assert set(statistics["files"]) >= {
            folder + suffix for suffix in (".wav", ".mid", ".musicxml", ".png", ".svg", ".html")
        }
        assert all(Path(file).stat().st_size > 0 for file in statistics["files"])
        chords = np.concatenate([np.zeros((12, 4), np.int16), one.chords])
        title = f"Chorale 0 at temperature {temperature:g}"
        begun = np.pad(onsets, ((12, 2), (0, 0)))
        midi = midi_bytes(chords, tempo=90, title=title, onsets=begun)
        assert Path(folder + ".mid").read_bytes() == midi
        assert "The soprano is given" in Path(folder + ".html").read_text()
        assert statistics["nats_per_note"] == pytest.approx(one.nats[given == -1].mean())
        assert statistics["steps"] == 18
    assert "beside Bach" in capsys.readouterr().out


def test_an_opening_is_shaded_and_notes_that_are_given_elsewhere_are_outlined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = []

    def render(
        uri: str, chords: np.ndarray, *, given: int, given_notes: np.ndarray, **_: Any
    ) -> list[str]:
        marked.append((given, given_notes.sum()))
        return [uri]

    monkeypatch.setattr(composing, "render", render)
    given = to_tokens(PIECES[2])
    one = Composition(to_chords(given), np.zeros(len(given), np.float32))
    opening, around = given.copy(), given.copy()
    opening[4 * 5 :] = -1
    around[4 * 5 : 4 * 6] = -1
    for tokens in (given, opening, around):
        result = composing.publish(
            {1.0: [one]}, tokens, BACH, str(tmp_path), tempo=80, instrument="organ"
        )
        mean = result["temperatures"]["1"]["nats_per_note"]
        assert np.isnan(mean) if tokens is given else mean == 0
    assert marked == [(len(given) // 4, 0), (5, 0), (0, len(given) - 4)]


def test_a_voice_that_is_silent_where_the_melody_sings_is_told() -> None:
    melody = np.full((12, 4), -1, np.int16)
    melody[:, 0] = [72] * 10 + [0] * 2
    given = given_tokens(16, None, Melody(melody))
    chords = np.tile(np.array([72, 67, 60, 48], np.int16), (16, 1))
    chords[10:12, 0] = 0

    def silent(voice: int, start: int, stop: int) -> Composition:
        its = chords.copy()
        its[start:stop, voice] = 0
        return Composition(its, np.zeros(64, np.float32))

    assert silent_voices([silent(1, 0, 3), silent(3, 10, 16)], given) == ""
    told = silent_voices([silent(1, 0, 3), silent(3, 6, 16), silent(2, 1, 6)], given)
    assert told.startswith("2 of 3 chorales have a voice that is silent while a given voice sings")
    assert "most of all 0002: tenor 5 of 10 sixteenths" in told
    assert silent_voices([silent(1, 0, 16)], given_tokens(16, chords[:4], None)) == ""


def test_chorales_of_an_earlier_larger_run_do_not_pass_for_this_one_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(composing, "render", lambda uri, *_, **__: [uri])
    given = to_tokens(PIECES[2])
    one = Composition(to_chords(given), np.zeros(len(given), np.float32))
    older = ["0001.wav", "0001-page2.svg", "0001.html", "0007.png", "12345.musicxml"]
    others = ["0000.wav", "0000-page2.svg", "notes.txt", "0001.mp3", "10.mid", "my 0001.wav"]
    (tmp_path / "temperature=2").mkdir()
    (tmp_path / "temperature=2" / "notes.txt").write_bytes(b"")  # no chorale of a run
    for folder in ("temperature=1", "temperature=0.5"):
        (tmp_path / folder / "0002.mid").mkdir(parents=True)
        for name in (*older, *others):
            (tmp_path / folder / name).write_bytes(b"")
    composing.publish({1.0: [one]}, given, BACH, str(tmp_path), tempo=80, instrument="organ")
    left = sorted(path.name for path in (tmp_path / "temperature=1").iterdir())
    assert left == sorted([*others, "0002.mid"])
    assert len(list((tmp_path / "temperature=0.5").iterdir())) == len([*older, *others]) + 1
    said = capsys.readouterr().out
    assert "deleted 3 chorales of an earlier run, from 0001 on" in said
    assert f"{tmp_path}: temperature=0.5 of an earlier run stay; pitches.png" in said
