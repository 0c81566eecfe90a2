"""Sound in fewer bytes: nothing that is heard is lost, and a run writes the same bytes again."""

import io

import numpy as np
import pytest
import soundfile
from composers import chorales

from rnnray.chorale.render import sound_files as sounds
from rnnray.chorale.render.sound import pcm, synthesize

CHORDS = chorales(40)[0]


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return synthesize(CHORDS, tempo=160, instrument="organ")


def test_flac_has_the_very_samples_of_the_wav_file(audio: np.ndarray) -> None:
    wav, flac = (make(audio) for make in (sounds.wav_bytes, sounds.flac_bytes))
    ours, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    expected, rate_of_wav = soundfile.read(io.BytesIO(wav), dtype="int16")
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(ours, pcm(audio))
    assert rate == rate_of_wav == 44100
    assert len(flac) < len(wav) / 2


def test_ogg_sounds_like_the_wav_file_and_is_a_tenth_of_it(audio: np.ndarray) -> None:
    ogg = sounds.ogg_bytes(audio)
    ours, rate = soundfile.read(io.BytesIO(ogg), dtype="float32")
    assert rate == 44100
    assert ours.shape == audio.shape
    assert np.sqrt(np.mean((ours - audio) ** 2)) < 0.05 * np.sqrt(np.mean(audio**2))
    assert len(ogg) < len(sounds.wav_bytes(audio)) / 8


def test_the_same_sound_gives_the_same_bytes(audio: np.ndarray) -> None:
    for make in sounds.SOUNDS.values():
        assert make(audio, 44100) == make(audio, 44100)


def test_samples_beyond_full_scale_are_refused_in_every_form(audio: np.ndarray) -> None:
    for make in sounds.SOUNDS.values():
        with pytest.raises(ValueError, match="beyond"):
            make(audio * 2, 44100)


def test_only_the_asked_forms_are_made() -> None:
    files = sounds.sound_files(CHORDS, ("ogg", "wav"), tempo=160, instrument="sine")
    assert [*files] == ["ogg", "wav"]
    assert sounds.sound_files(CHORDS, (), tempo=160, instrument="sine") == {}
