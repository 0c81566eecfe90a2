"""Chords survive as tokens, windows are the book's, transposed pieces stay singable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from lazily import tf

from rnnray.chorale import tokens

PITCHES = st.sampled_from([0, *range(36, 82)])
CHORDS = npst.arrays(np.int16, st.tuples(st.integers(1, 40), st.just(4)), elements=PITCHES)


@given(CHORDS)
def test_chords_come_back_from_tokens(chords: np.ndarray) -> None:
    arpeggio = tokens.to_tokens(chords)
    assert arpeggio.dtype == np.int8
    assert arpeggio.tolist() == [p - 35 if p else 0 for chord in chords.tolist() for p in chord]
    back = tokens.to_chords(arpeggio)
    assert back.dtype == np.int16
    np.testing.assert_array_equal(back, chords)


@pytest.mark.parametrize("pitch", [35, 82, -1, 1, 300])
def test_a_pitch_that_has_no_token_is_refused(pitch: int) -> None:
    with pytest.raises(ValueError, match="36 to 81"):
        tokens.to_tokens(np.array([[60, pitch, 60, 60]], np.int16))


@pytest.mark.parametrize("bad", [[0, 1, 2, 47], [0, 1, 2, -1], [0, 1, 2, 3, 4]])
def test_tokens_that_are_no_chords_are_refused(bad: list[int]) -> None:
    with pytest.raises(ValueError, match=r"0 to 46|whole number"):
        tokens.to_chords(np.array(bad))


def test_a_voice_s_range_leaves_silence_out_and_is_the_widest_for_a_silent_voice() -> None:
    first = np.array([[70, 60, 0, 0], [72, 61, 55, 0]], np.int16)
    second = np.array([[69, 0, 54, 0]], np.int16)
    ranges = tokens.voice_ranges([first, second])
    assert ranges.tolist() == [[69, 72], [60, 61], [54, 55], [36, 81]]


@given(st.lists(CHORDS, min_size=1, max_size=4), st.integers(0, 12))
def test_transpositions_are_all_those_within_the_voices_ranges(
    pieces: list[np.ndarray], semitones: int
) -> None:
    ranges = tokens.voice_ranges(pieces)
    chords = pieces[0]
    expected = []
    for shift in range(-semitones, semitones + 1):
        moved = [[p + shift if p else 0 for p in chord] for chord in chords.tolist()]
        if shift == 0 or all(
            p == 0 or low <= p <= high
            for chord in moved
            for p, (low, high) in zip(chord, ranges.tolist(), strict=True)
        ):
            expected.append(moved)
    moved = [m.tolist() for m in tokens.transpositions(chords, ranges, semitones)]
    assert moved == expected
    assert chords.tolist() in moved


def test_a_piece_beyond_the_ranges_of_others_is_still_there_itself() -> None:
    chords = np.array([[81, 60, 50, 40]], np.int16)
    narrow = np.array([[60, 70]] * 4, np.int16)
    assert [m.tolist() for m in tokens.transpositions(chords, narrow, 2)] == [chords.tolist()]


@pytest.mark.parametrize("length", [1, 32, 33, 48, 49, 65, 100])
def test_dropping_the_remainder_gives_the_windows_of_the_book_s_code(length: int) -> None:
    chords = np.random.default_rng(length).choice([0, *range(36, 82)], (length, 4)).astype(np.int16)
    # The book's `to_windows` and `preprocess`, with its window_size 32 and window_shift 16.
    dataset = tf.data.Dataset.from_tensor_slices(chords)
    dataset = dataset.window(33, 16, drop_remainder=True)
    dataset = dataset.flat_map(lambda window: window.batch(33))
    expected = [
        np.where(window == 0, window, window - 36 + 1).reshape(-1).tolist()
        for window in dataset.as_numpy_iterator()
    ]
    ours = tokens.windows(tokens.to_tokens(chords), 33, 16, drop_remainder=True)
    assert [window.tolist() for window in ours] == expected


@given(st.integers(1, 80), st.integers(1, 30), st.data())
def test_without_dropping_no_chord_is_lost_and_no_window_is_needless(
    length: int, chords: int, data: st.DataObject
) -> None:
    shift = data.draw(st.integers(1, chords))
    piece = (np.arange(4 * length) % 47).astype(np.int8)
    windows = list(tokens.windows(piece, chords, shift, drop_remainder=False))
    ends = []
    for number, window in enumerate(windows):
        expected = piece[4 * shift * number :][: 4 * chords].tolist()
        assert window.dtype == np.int8
        assert window.tolist() == expected + [-1] * (4 * chords - len(expected))
        ends.append(shift * number + chords)
    assert ends[-1] >= length
    assert all(end < length for end in ends[:-1])
