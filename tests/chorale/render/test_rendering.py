"""A chorale in all its forms, each the one that programs expect under its name."""

import base64
import io
import wave
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from composers import chorales

from rnnray.chorale.data.scores import read_voices
from rnnray.chorale.render.rendering import render
from rnnray.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture(scope="module")
def chords() -> np.ndarray:
    chords = chorales(400)[0]
    chords[:, 1:] = np.sort(chords[:, 1:])[:, ::-1]
    return chords


def test_a_chorale_is_written_in_all_forms_and_pages(folder: Path, chords: np.ndarray) -> None:
    uri = str(folder / "deep" / "0001")
    files = render(uri, chords, title="A & B", tempo=120, instrument="sine", given=4)
    assert len(set(files)) == len(files)
    assert sorted(files) == sorted(map(str, (folder / "deep").iterdir()))
    suffixes = [file.removeprefix(uri) for file in files]
    pages = [suffix for suffix in suffixes if suffix.endswith(".svg")]
    assert len(pages) > 1
    assert pages == [".svg", *(f"-page{number}.svg" for number in range(2, len(pages) + 1))]
    assert sorted(set(suffixes) - set(pages)) == [".html", ".mid", ".musicxml", ".png", ".wav"]
    content = {suffix: Path(uri + suffix).read_bytes() for suffix in suffixes}
    assert content[".png"].startswith(b"\x89PNG\r\n")
    for page in pages:
        assert ElementTree.fromstring(content[page]).tag.endswith("svg")
    with wave.open(io.BytesIO(content[".wav"])) as sound:
        assert sound.getnframes() / sound.getframerate() >= 400 * 60 / 120 / 4
    assert b"A &amp; B" in content[".musicxml"]
    assert content[".html"].count(b'class="measure"') == 2 * 25
    assert base64.b64encode(content[".mid"]) in content[".html"]


def test_the_midi_that_is_written_is_the_chorale(folder: Path, chords: np.ndarray) -> None:
    np.testing.assert_array_equal(read_voices(folder / "deep" / "0001.mid"), chords)


def test_other_sounds_of_an_earlier_chorale_of_the_name_are_deleted(
    folder: Path, chords: np.ndarray
) -> None:
    uri = str(folder / "sounds" / "0001")
    for sounds in (("wav", "flac"), ("ogg",)):
        files = render(uri, chords[:16], title="", tempo=120, instrument="sine", sounds=sounds)
        assert sorted(files) == sorted(map(str, (folder / "sounds").iterdir()))
        assert {f"{uri}.{suffix}" for suffix in sounds} < set(files)


def test_an_impossible_tempo_leaves_nothing_behind(folder: Path, chords: np.ndarray) -> None:
    with pytest.raises(UserError, match="tempo"):
        render(str(folder / "none"), chords, title="", tempo=0, instrument="sine")
    assert not list(folder.glob("none*"))
