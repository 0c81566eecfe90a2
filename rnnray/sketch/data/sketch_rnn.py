"""Drawings of one category in sketch-rnn's .npz files, with the arrays train, valid and test.

Each array has one array a drawing, int16 [n, 3]: steps dx and dy, and 1 if the pen is lifted after
the step (https://github.com/magenta/magenta/tree/main/magenta/models/sketch_rnn). As in ink, a
drawing's first point is left out: it is the origin. The files contain pickles; `object_array` reads
them.
"""

from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray import object_array
from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.ndjson import Drawing, Record, to_drawings


def read(
    stream: BufferedIOBase,
    *,
    file: str,
    word: str | None,
    on_bad: OnBad | None = None,
) -> Iterator[Drawing]:
    """Yield the drawings of one array, numbered from 1; the array is held in memory.

    Args:
        stream: the .npy file within the archive.
        file: its name, for messages.
        word: the category, which the file does not contain.
        on_bad: takes the error of each drawing that cannot be used; damage ends the reading.

    Raises:
        UserError: damage, or a drawing that cannot be used, without `on_bad`.
    """

    def bad(number: int, error: UserError) -> None:
        report(UserError(f"{file}: drawing {number}: {error}"), on_bad)

    try:
        arrays = object_array.read(stream)
    except (UserError, OSError) as error:
        report(UserError(f"{file}: {error}"), on_bad)
        return
    yield from to_drawings(
        (
            Record(number, {"word": word, "drawing": _strokes(steps)}, layout="lists")
            for number, steps in enumerate(arrays, start=1)
        ),
        bad,
    )


def _strokes(steps: npt.NDArray[Any]) -> list[list[list[float]]] | None:
    """Return the strokes of one drawing; None for an array that is not [n, 3]."""
    if steps.ndim != 2 or steps.shape[1] != 3:
        return None
    points = np.zeros((2, len(steps) + 1))
    np.cumsum(steps[:, :2].T, axis=1, out=points[:, 1:])
    points -= points.min(axis=1, keepdims=True)
    lifted = np.flatnonzero(steps[:-1, 2]) + 2
    return [stroke.tolist() for stroke in np.split(points, lifted, axis=1)]
