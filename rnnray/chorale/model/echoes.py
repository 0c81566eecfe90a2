"""Echoes: the chords after the longest earlier matches of a chorale's last chords.

Chorales repeat their phrases, often word for word. Where the last 16 chords have occurred before,
the chord that followed then follows again 93 times of 100 (validation split of the jsb corpus).
This is the match model of data compression (Mahoney, "Adaptive weighing of context models for
lossless data compression", 2005) as a feature of a network. It uses Keras alone.

At each chord, two matches are sought, of all four voices and of the soprano alone. A match has a
lag of at least a bar (a held chord would match itself) and a level: 0 for none, 1 to 4 for at least
4, 8, 16, 32 chords. Of matches of the same level, the nearest counts. Its echo is the chord that
followed then.
"""

from typing import Any

from keras import ops

from rnnray.chorale.chorale_config import BAR
from rnnray.chorale.chords import VOICES
from rnnray.chorale.tokens import NONE

LEVELS = 5
MATCHED_VOICES = (len(VOICES), 1)
_SHORTEST = 4
_LONGEST = _SHORTEST * 2 ** (LEVELS - 2)


def find(chords: Any, reach: int) -> list[tuple[Any, Any]]:
    """Return the echoes for all chords of some pieces at once.

    Args:
        chords: tokens int32 [batch, n, 4], -1 after a piece's end.
        reach: longest lag, in chords.

    Returns:
        For each number of MATCHED_VOICES, echo int32 [batch, n, 4] and level int32 [batch, n];
        those at index t depend on the chords before t. Where the level is 0, the echo means
        nothing.
    """
    length = chords.shape[1]
    number = ops.arange(length)
    lag = number[:, None] - number[None, :]
    allowed = ops.logical_and(lag >= BAR, lag <= reach)
    return [_find(chords[:, :, :voices], chords, allowed) for voices in MATCHED_VOICES]


def _find(matched: Any, chords: Any, allowed: Any) -> tuple[Any, Any]:
    length = chords.shape[1]
    same = ops.all(ops.equal(matched[:, :, None], matched[:, None]), axis=-1)
    same = ops.logical_and(same, allowed[None])
    same = ops.logical_and(same, ops.not_equal(matched[:, :, None, 0], NONE))
    # run[t, s]: the `chords_long` chords up to t equal those up to s; each turn doubles the length.
    run, chords_long = same, 1
    follower = ops.zeros_like(chords[:, :, 0])
    level = ops.zeros_like(follower)
    while chords_long <= _LONGEST:
        if chords_long >= _SHORTEST:
            nearest = ops.max(ops.where(run, ops.arange(length)[None, None], -1), axis=-1)
            follower = ops.where(nearest >= 0, nearest + 1, follower)
            level = ops.where(nearest >= 0, level + 1, level)
        if 2 * chords_long > _LONGEST or chords_long >= length:
            break
        shifted = ops.pad(run, [[0, 0], [chords_long, 0], [chords_long, 0]])[:, :length, :length]
        run, chords_long = ops.logical_and(run, shifted), 2 * chords_long
    echo = ops.take_along_axis(chords, follower[:, :, None], axis=1)
    # A match that ends at t has its echo at t + 1.
    return (
        ops.pad(echo, [[0, 0], [1, 0], [0, 0]])[:, :-1],
        ops.pad(level, [[0, 0], [1, 0]])[:, :-1],
    )


def initial_state(batch: int, reach: int) -> dict[str, Any]:
    """Return the state before the first chord; its size depends on `reach`, not on the length."""
    return {
        "heard": ops.full((batch, reach + 1, len(VOICES)), NONE, "int32"),
        "runs": ops.zeros((batch, len(MATCHED_VOICES), reach - BAR + 1), "int32"),
    }


def step(
    state: dict[str, Any], chord: Any, time: Any, reach: int
) -> tuple[list[tuple[Any, Any]], dict[str, Any]]:
    """Return the echoes for chord `time` + 1, given chord `time`, and the new state.

    Args:
        state: state before the chord.
        chord: tokens int32 [batch, 4].
        time: number of the chord, int32 scalar.
        reach: as in `find`.

    Returns:
        For each number of MATCHED_VOICES, echo int32 [batch, 4] and level int32 [batch].
    """
    # A ring buffer: chord t lies at t modulo its length.
    size = reach + 1
    heard = ops.slice_update(state["heard"], [0, time % size, 0], chord[:, None])
    lags = ops.arange(BAR, reach + 1)
    earlier = ops.take(heard, (time - lags) % size, axis=1)
    equal = ops.equal(earlier, chord[:, None])
    same = ops.stack([ops.all(equal[:, :, :voices], -1) for voices in MATCHED_VOICES], axis=1)
    runs = ops.where(same, ops.minimum(state["runs"] + 1, _LONGEST), 0)
    levels = sum(ops.cast(runs >= _SHORTEST * 2**number, "int32") for number in range(LEVELS - 1))
    echoes = []
    for index in range(len(MATCHED_VOICES)):
        nearest = ops.argmax(levels[:, index], axis=-1)  # the first of the highest, so the nearest
        level = ops.max(levels[:, index], axis=-1)
        follower = (time + 1 - (BAR + ops.cast(nearest, "int32"))) % size
        echo = ops.take_along_axis(heard, follower[:, None, None], axis=1)[:, 0]
        echoes.append((echo, level))
    return echoes, {"heard": heard, "runs": runs}
