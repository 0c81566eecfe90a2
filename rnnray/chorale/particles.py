"""Particles: drafts of one chorale that are composed at once and weighed by the given notes.

A composer writes from left to right, soprano to bass. So it draws the upper voices of a chord
before it meets a given bass, and a chord before it meets the next note of a given soprano. Of
several drafts, each is weighed by the probability that the composer gives the given notes; once
the weights are uneven, drafts that fit badly are replaced by copies of those that fit well. This is
sequential Monte Carlo (Doucet and Johansen, "A Tutorial on Particle Filtering and Smoothing",
2009). With more and more particles, the chorales are drawn from the composer's distribution given
these notes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops


def resample(weights: Any, uniforms: Any) -> tuple[Any, Any, Any]:
    """Choose which drafts survive, in those groups whose effective number is below half.

    Args:
        weights: float32 [groups, particles], logarithms.
        uniforms: random numbers from 0 to below 1, float32 [groups].

    Returns:
        The surviving particle in each place, int32 [groups, particles]; the new weights; and the
        logarithm of the mean weight that the new ones leave out, float32 [groups].
    """
    count = weights.shape[1]
    shares = ops.softmax(weights, axis=-1)
    uneven = 1 / ops.sum(shares**2, axis=-1) < count / 2
    # Systematic: each particle gets its share of places, up or down to the next whole number.
    places = (uniforms[:, None] + ops.arange(count, dtype="float32")) / count
    below = ops.cumsum(shares, axis=-1)[:, None] <= places[:, :, None]
    survivors = ops.minimum(ops.sum(ops.cast(below, "int32"), axis=-1), count - 1)
    survivors = ops.where(uneven[:, None], survivors, ops.arange(count, dtype="int32"))
    kept = ops.where(uneven[:, None], 0.0, weights)
    return survivors, kept, ops.where(uneven, log_mean(weights), 0.0)


def log_mean(weights: Any) -> Any:
    """Return the logarithm of the mean weight of each group: [groups, particles] -> [groups]."""
    return ops.logsumexp(weights, axis=-1) - np.log(weights.shape[1])


def lines(ancestors: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the rows that lead to each of the last chord's rows, int32 [chords, rows].

    Args:
        ancestors: int32 [chords, rows]; for each row of a chord, that of the chord before.
    """
    rows = np.empty_like(ancestors)
    last = np.arange(ancestors.shape[1], dtype=np.int32)
    for chord in reversed(range(len(ancestors))):
        rows[chord] = last
        last = ancestors[chord][last]
    return rows
