"""The model's echoes are those that a plain search finds."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from composers import REACH, repetitive
from hypothesis import given, settings
from hypothesis import strategies as st
from lazily import Lazily, tf

echoes = Lazily("rnnray.chorale.model.echoes")


Found = list[tuple[list[int] | None, int]]


def plainly(chords: np.ndarray, voices: int, reach: int) -> Found:
    """Echo and level for each chord of a piece, and for the next one."""
    rows = chords.tolist()
    result: Found = []
    for time in range(len(rows) + 1):
        best: tuple[list[int] | None, int] = (None, 0)
        for lag in range(16, reach + 1):
            run = 0
            while (
                time - 1 - run - lag >= 0
                and rows[time - 1 - run][:voices] == rows[time - 1 - run - lag][:voices]
            ):
                run += 1
            level = sum(run >= least for least in (4, 8, 16, 32))
            if level > best[1]:  # of equal levels the nearest stays
                best = rows[time - lag], level
        result.append(best)
    return result


@st.composite
def pieces(draw: st.DrawFn) -> np.ndarray:
    """Chords of few notes: new ones and copies of earlier ones."""
    chords = [draw(st.lists(st.integers(0, 1), min_size=4, max_size=4))]
    for _ in range(draw(st.integers(0, 6))):
        lag, length = draw(st.integers(1, 40)), draw(st.integers(1, 36))
        soprano_only = draw(st.booleans())
        for _ in range(length):
            chord = list(chords[-lag] if lag <= len(chords) else chords[0])
            if soprano_only:
                chord[1:] = [(note + 1) % 3 for note in chord[1:]]
            chords.append(chord)
        chords.append(draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)))
    return np.array(chords[:120], np.int32)


def check(found: Any, expected: list[Found]) -> None:
    for (echo, level), plain in zip(found, expected, strict=True):
        assert level.tolist() == [level for _, level in plain]
        for ours, (wanted, _) in zip(echo.tolist(), plain, strict=True):
            assert wanted is None or ours == wanted


@settings(max_examples=40)
@given(pieces(), st.sampled_from([16, 17, 24, 50]), st.integers(0, 20))
def test_find_is_a_plain_search(chords: np.ndarray, reach: int, padding: int) -> None:
    padded = np.pad(chords, [[0, 1 + padding], [0, 0]], constant_values=-1)
    other = np.zeros_like(padded)
    found = echoes.find(tf.constant(np.stack([other, padded])), reach)
    known = len(chords) + 1  # after that there is nothing to predict
    ours = [(np.asarray(echo)[1, :known], np.asarray(level)[1, :known]) for echo, level in found]
    check(ours, [plainly(chords, 4, reach), plainly(chords, 1, reach)])


@cache
def compiled_step(reach: int) -> Any:
    return tf.function(
        lambda state, chord, time: echoes.step(state, chord, time, reach), autograph=False
    )


@settings(max_examples=15)
@given(pieces(), st.sampled_from([16, 40]))
def test_step_by_step_finds_the_same(chords: np.ndarray, reach: int) -> None:
    state = echoes.initial_state(2, reach)
    ours: list[Any] = [([[0] * 4], [0]), ([[0] * 4], [0])]
    for time, chord in enumerate(chords):
        both = tf.constant(np.stack([np.roll(chord, 1), chord]))
        found, state = compiled_step(reach)(state, both, tf.constant(time))
        for (all_echoes, levels), (echo, level) in zip(ours, found, strict=True):
            all_echoes.append(echo.numpy()[1].tolist())
            levels.append(int(level.numpy()[1]))
    found = [(np.array(echo), np.array(level)) for echo, level in ours]
    check(found, [plainly(chords, 4, reach), plainly(chords, 1, reach)])


@pytest.mark.parametrize("period", [16, REACH])
def test_the_piece_that_other_tests_use_has_echoes_of_every_level(period: int) -> None:
    chords = repetitive(period).reshape(1, -1, 4).astype(np.int32)
    for _, level in echoes.find(tf.constant(chords), period):
        assert set(np.asarray(level).ravel().tolist()) == set(range(echoes.LEVELS))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 31, 33])
def test_short_pieces_have_echoes_too_where_there_are_any(length: int) -> None:
    chords = np.tile(np.arange(16)[:, None], (3, 4))[:length].astype(np.int32)
    found = [(np.asarray(e)[0], np.asarray(v)[0]) for e, v in echoes.find(chords[None], 20)]
    check(found, [plainly(chords, voices, 20)[:-1] for voices in (4, 1)])
