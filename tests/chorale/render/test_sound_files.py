"""Sound in fewer bytes: nothing audible is lost, and a repeated run writes the same bytes."""

import io
import wave

import numpy as np
import pytest
import soundfile
from composers import chorales

from rnnray.chorale.render import sound_files as sounds
from rnnray.chorale.render.sound import synthesize

CHORDS = chorales(40)[0]


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return synthesize(CHORDS, tempo=160, instrument="organ")


def test_the_wav_file_holds_the_samples(audio: np.ndarray) -> None:
    content = sounds.wav_bytes(audio, 22050)
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 22050)
        read = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert np.abs(read / 32767 - audio).max() <= 0.51 / 32767
    with wave.open(io.BytesIO(sounds.wav_bytes(np.zeros((0, 2), np.float32)))) as file:
        assert file.getnframes() == 0
    assert sounds.wav_bytes(np.array([[1, -1]], np.float32))[-4:] == b"\xff\x7f\x01\x80"


@pytest.mark.parametrize(
    "audio",
    [np.zeros(4), np.zeros((4, 1)), np.array([[0, 1.01]]), np.array([[0, np.nan]])],
    ids=["one channel", "mono", "too loud", "nan"],
)
def test_samples_that_would_wrap_around_in_the_file_are_refused(audio: np.ndarray) -> None:
    with pytest.raises(ValueError, match="audio"):
        sounds.wav_bytes(audio)


def test_flac_has_the_very_samples_of_the_wav_file(audio: np.ndarray) -> None:
    wav, flac = (make(audio) for make in (sounds.wav_bytes, sounds.flac_bytes))
    ours, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    expected, rate_of_wav = soundfile.read(io.BytesIO(wav), dtype="int16")
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(ours, sounds.pcm(audio))
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
