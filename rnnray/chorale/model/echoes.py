"""Where a chorale went before as it goes now: the longest earlier match of what was heard last.

Chorales repeat their phrases, often word for word: where the last 16 chords have been there before,
the chord that followed then follows again 93 times of 100 (valid split of the jsb corpus). This is
the match model of data compression (Mahoney, "Adaptive weighing of context models for lossless data
compression", 2005), as a feature of a network. Keras alone.

At each chord, two matches are looked for, of all four voices and of the soprano alone. A match has
a lag of at least a bar (a held chord would match itself) and a level: 0 for none, 1 to 4 for at
least 4, 8, 16, 32 chords. Of equally long ones by that measure, the nearest counts. Its echo is the
chord that followed then.
"""

from typing import Any

from keras import ops

from rnnray.chorale.chords import BAR, VOICES
from rnnray.chorale.tokens import NONE

LEVELS = 5
MATCHED_VOICES = (len(VOICES), 1)
_SHORTEST = 4
_LONGEST = _SHORTEST * 2 ** (LEVELS - 2)


def find(chords: Any, reach: int) -> list[tuple[Any, Any]]:
    """The echoes for all chords of some pieces at once.

    Args:
        chords: int32 [batch, n, 4], tokens, -1 behind a piece's end.
        reach: the longest lag, in chords.

    Returns:
        For each number of MATCHED_VOICES, echo int32 [batch, n, 4] and level int32 [batch, n]; at
        index t they were found in the chords before t. Where the level is 0, the echo is any chord.
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
    # run[t, s]: the `chords_long` chords up to t are those up to s; doubled in each turn.
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
    # What was found at t is known from t + 1 on.
    return (
        ops.pad(echo, [[0, 0], [1, 0], [0, 0]])[:, :-1],
        ops.pad(level, [[0, 0], [1, 0]])[:, :-1],
    )


def initial_state(batch: int, reach: int) -> dict[str, Any]:
    """Before the first chord: nothing heard. Its size depends on `reach`, never on the length."""
    return {
        "heard": ops.full((batch, reach + 1, len(VOICES)), NONE, "int32"),
        "runs": ops.zeros((batch, len(MATCHED_VOICES), reach - BAR + 1), "int32"),
    }


def step(
    state: dict[str, Any], chord: Any, time: Any, reach: int
) -> tuple[list[tuple[Any, Any]], dict[str, Any]]:
    """The echoes for chord `time` + 1, and the new state, once chord `time` is known.

    Args:
        state: of the chords before.
        chord: int32 [batch, 4], tokens.
        time: int32 scalar, counted from 0.
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
        nearest = ops.argmax(levels[:, index], axis=-1)  # the first of the highest
        level = ops.max(levels[:, index], axis=-1)
        follower = (time + 1 - (BAR + ops.cast(nearest, "int32"))) % size
        echo = ops.take_along_axis(heard, follower[:, None, None], axis=1)[:, 0]
        echoes.append((echo, level))
    return echoes, {"heard": heard, "runs": runs}
