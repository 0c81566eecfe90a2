import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnray.chorale.render.sound import PEAK, TAIL_SECONDS, synthesize
from rnnray.errors import UserError

RATE = 44100
INSTRUMENTS = ("organ", "choir", "sine")
TEMPO = 75  # a row is 0.2 s, 8820 samples
ROW = 8820


def line(*notes, voice=3):
    """Chords of one voice, from pairs (pitch, rows)."""
    pitches = [pitch for pitch, rows in notes for _ in range(rows)]
    chords = np.zeros((len(pitches), 4), np.int16)
    chords[:, voice] = pitches
    return chords


def frequency(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def spectrum(audio):
    """Magnitudes and frequencies, steps of a sixth of a hertz."""
    size = 1 << 18
    window = np.blackman(len(audio))
    return np.abs(np.fft.rfft(audio * window, size)), np.fft.rfftfreq(size, 1 / RATE)


def loudness(audio):
    """RMS of pieces that are a quarter of a row long."""
    size = ROW // 4
    pieces = audio[: len(audio) // size * size, 0].reshape(-1, size)
    return np.sqrt(np.mean(pieces**2, axis=1))


@pytest.mark.parametrize("voice", [0, 3])
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_pitch_is_heard_as_the_pitch_that_was_composed(instrument, voice):
    pitches = range(36, 82)
    chords = line(*((pitch, 7) for pitch in pitches), voice=voice)
    audio = synthesize(chords, tempo=TEMPO, instrument=instrument)[:, 0]
    for i, pitch in enumerate(pitches):
        magnitudes, hertz = spectrum(audio[7 * ROW * i + ROW : 7 * ROW * (i + 1)])
        cents = 1200 * np.log2(hertz[magnitudes.argmax()] / frequency(pitch))
        assert abs(cents) < 25, f"{pitch} sounds {cents:.0f} cents off"


def worst_step(audio, change):
    """The largest sample step near a change of notes, as a share of the largest possible one.

    Within half a row of the change two notes may sound, each under an envelope of at most 1. The
    step is at most the sum of both notes' own largest steps and of the envelopes' steps. Envelopes
    rise and fall along a cosine, in no less than 40 ms.
    """
    own, reach = 0.0, 0.0
    for note in (audio[change - 3 * ROW : change], audio[change + ROW : change + 3 * ROW]):
        own += np.abs(np.diff(note)).max()
        reach += np.abs(note).max()
    allowed = own + reach * math.pi / 2 / (0.04 * RATE)
    return np.abs(np.diff(audio[change - ROW // 2 : change + ROW // 2])).max() / allowed


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_no_click_where_a_note_changes(instrument):
    pitches = [40, 45, 43, 36, 50, 41, 46, 52, 38, 37]
    audio = synthesize(
        line(*((pitch, 8) for pitch in pitches)), tempo=TEMPO, instrument=instrument
    )[:, 1]
    changes = [8 * ROW * i for i in range(1, len(pitches))]
    assert max(worst_step(audio, change) for change in changes) < 1

    # The bound must tell an abrupt change from a smooth one: here, the release and the attack
    # between the two notes are cut out.
    cuts = [np.delete(audio, slice(change - 977, change + 3011)) for change in changes]
    worst = [worst_step(cut, change - 977) for cut, change in zip(cuts, changes, strict=True)]
    assert max(worst) > 1


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_held_note_sounds_through_without_a_dip(instrument):
    held = loudness(synthesize(line((57, 24)), tempo=TEMPO, instrument=instrument))[4:92]
    assert held.min() > 0.4 * np.median(held)
    assert (held[1:] / held[:-1]).min() > 0.7
    # A note that is struck again after a sixteenth's rest does dip.
    again = loudness(
        synthesize(line((57, 12), (0, 1), (57, 11)), tempo=TEMPO, instrument=instrument)
    )[4:92]
    assert again.min() < 0.4 * np.median(again)


chorales = st.lists(
    st.tuples(*[st.sampled_from([0, 36, 43, 55, 60, 64, 67, 72, 81])] * 4), min_size=1, max_size=6
).map(lambda rows: np.array(rows, np.int16))


@settings(max_examples=10)
@given(chorales, st.sampled_from(INSTRUMENTS))
def test_repeated_rows_are_one_long_note(chords, instrument):
    long = synthesize(chords, tempo=20, instrument=instrument, sample_rate=8000)
    repeated = synthesize(
        np.repeat(chords, 4, axis=0), tempo=80, instrument=instrument, sample_rate=8000
    )
    np.testing.assert_array_equal(repeated, long)


@settings(max_examples=10)
@given(chorales, st.sampled_from(INSTRUMENTS))
def test_a_piece_is_as_loud_as_it_may_be_and_as_long_as_asked(chords, instrument):
    audio = synthesize(chords, tempo=100, instrument=instrument, sample_rate=8000)
    assert audio.dtype == np.float32
    assert audio.shape == (round((len(chords) * 0.15 + TAIL_SECONDS) * 8000), 2)
    assert np.abs(audio).max() == pytest.approx(PEAK if chords.any() else 0, rel=1e-6)
    assert np.array_equal(
        synthesize(chords, tempo=100, instrument=instrument, sample_rate=8000), audio
    )


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_piece_ends_in_silence_and_not_in_a_cut(instrument):
    audio = synthesize(line((48, 4)), tempo=TEMPO, instrument=instrument)
    at_end = 4 * ROW
    assert np.abs(audio[at_end + 4410 :]).max() > 0.003  # it does sound on
    assert np.abs(audio[-2000:]).max() < 0.003
    assert np.abs(audio[-2:]).max() < 1e-5


def test_the_four_voices_stand_from_left_to_right():
    for instrument in ("organ", "choir"):
        left = []
        for voice in range(4):
            power = np.mean(
                synthesize(line((60, 4), voice=voice), instrument=instrument) ** 2, axis=0
            )
            left.append(power[0] / power.sum())
        assert np.all(np.diff(left) < -0.05), left
        assert left[0] > 0.6
        assert left[3] < 0.4
    sine = synthesize(line((60, 4)), instrument="sine")
    np.testing.assert_array_equal(sine[:, 0], sine[:, 1])


def a_weighted_decibels(audio):
    """Loudness as a sound level meter shows it (IEC 61672, curve A)."""
    power = np.abs(np.fft.rfft(audio, axis=0)) ** 2
    f2 = np.fft.rfftfreq(len(audio), 1 / RATE) ** 2
    gain = 12194**2 * f2**2 / ((f2 + 20.6**2) * (f2 + 12194**2))
    gain /= np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
    return 10 * np.log10(np.sum(power * gain[:, None] ** 2))


@pytest.mark.parametrize("instrument", ["organ", "choir"])
def test_the_bass_is_neither_lost_nor_booming_beside_the_soprano(instrument):
    chords = line((72, 8), (0, 8), (0, 16))
    chords[16:24, 3] = 48
    audio = synthesize(chords, tempo=TEMPO, instrument=instrument)
    soprano, bass = audio[ROW : 8 * ROW], audio[17 * ROW : 24 * ROW]
    assert -8 < a_weighted_decibels(bass) - a_weighted_decibels(soprano) < 3


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_note_sounds_the_same_whatever_else_sounds(instrument):
    soprano = line((72, 3), (71, 2), (0, 2), voice=0)
    bass = line((48, 2), (43, 5), voice=3)
    options = {"tempo": TEMPO, "instrument": instrument}
    both = synthesize(soprano + bass, **options).reshape(-1)
    alone = [synthesize(chords, **options).reshape(-1) for chords in (soprano, bass)]
    _, residual, _, _ = np.linalg.lstsq(np.stack(alone, axis=1).astype(float), both, rcond=None)
    assert math.sqrt(residual[0] / len(both)) < 1e-5


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_note_sounds_the_same_whenever_it_sounds(instrument):
    note = synthesize(line((50, 3), (55, 3)), tempo=TEMPO, instrument=instrument)
    later = synthesize(line((0, 30), (50, 3), (55, 3)), tempo=TEMPO, instrument=instrument)
    assert np.abs(later[: 30 * ROW]).max() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(later[30 * ROW :], note, atol=1e-5)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize("pitch", [61, 74, 81])
def test_nothing_sounds_between_the_harmonics_as_aliases_would(instrument, pitch):
    """Half the sample rate is 5.5 kHz here, so most of a tone's possible harmonics would alias."""
    rate = 11025
    audio = synthesize(
        line((pitch, 32), voice=0), tempo=TEMPO, instrument=instrument, sample_rate=rate
    )
    steady = audio[2 * rate : 6 * rate, 0]  # once the room answers with the same tone
    magnitudes = np.abs(np.fft.rfft(steady * np.blackman(len(steady))))
    hertz = np.fft.rfftfreq(len(steady), 1 / rate)
    harmonic = np.maximum(np.rint(hertz / frequency(pitch)), 1)
    # Vibrato of up to 17 cents, and its sidebands.
    near = np.abs(hertz - harmonic * frequency(pitch)) < 60 + 0.011 * hertz
    assert magnitudes[~near].max() < 1e-4 * magnitudes.max()


def test_silence_is_silent_and_no_chords_are_no_sound():
    for instrument in INSTRUMENTS:
        silent = synthesize(np.zeros((8, 4), np.int16), instrument=instrument)
        assert silent.shape == (round(3.5 * RATE), 2)
        assert not silent.any()
        assert synthesize(np.zeros((0, 4), np.int16), instrument=instrument).shape == (0, 2)


@pytest.mark.parametrize("tempo", [0, -80, math.nan, math.inf, -math.inf])
def test_a_tempo_that_is_none_is_named(tempo):
    with pytest.raises(UserError, match=f"tempo is {tempo}"):
        synthesize(line((60, 4)), tempo=tempo)


@pytest.mark.parametrize("tempo", [1e-300, 0.01])
def test_a_tempo_that_would_fill_the_memory_is_refused(tempo):
    with pytest.raises(UserError, match=r"more than an hour: ask for .* above 0\.016"):
        synthesize(line((60, 4)), tempo=tempo)


@pytest.mark.parametrize("tempo", [3000, 1e9])
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_notes_shorter_than_their_attack_still_make_sound_without_an_error(instrument, tempo):
    audio = synthesize(line((60, 1), (64, 1)), tempo=tempo, instrument=instrument)
    assert np.isfinite(audio).all()
    assert len(audio) == round((30 / tempo + TAIL_SECONDS) * RATE)


@pytest.mark.parametrize(
    "chords",
    [
        np.zeros((4, 3), np.int16),
        np.zeros(4, np.int16),
        np.full((4, 4), 60.0),
        np.full((4, 4), 35, np.int16),
        np.full((4, 4), 82, np.int16),
        np.full((4, 4), -1, np.int16),
    ],
)
def test_chords_that_are_none_are_refused(chords):
    with pytest.raises(ValueError, match=r"chord|pitch"):
        synthesize(chords)


def test_an_unknown_instrument_and_a_low_sample_rate_are_refused():
    with pytest.raises(ValueError, match="instrument"):
        synthesize(line((60, 1)), instrument="kazoo")
    with pytest.raises(ValueError, match="sample rate"):
        synthesize(line((60, 1)), sample_rate=4000)


def test_a_pitch_that_is_struck_again_begins_again() -> None:
    chords = np.full((8, 4), 60)
    onsets = np.zeros((8, 4), bool)
    onsets[4] = True
    held, again = (
        synthesize(chords, tempo=60, onsets=those, instrument="organ") for those in (None, onsets)
    )
    before, there = (slice(int(44100 * at), int(44100 * (at + 0.02))) for at in (0.8, 0.99))
    for audio, least, most in (held, 0.5, 2.0), (again, 0.0, 0.5):
        share = np.abs(audio[there]).max() / np.abs(audio[before]).max()
        assert least < share < most
    assert len(held) == len(again)
