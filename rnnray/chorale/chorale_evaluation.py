"""Evaluation of a composer's predictions: over whole pieces, and in the book's windows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnray.chorale import tokens
from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.progress import Every, say

BOOK_CHORDS, BOOK_SHIFT = 33, 16
# Rows of a batch, and the multiple that lengths are rounded up to: few shapes need few
# compilations.
_PIECES, _WINDOWS = 16, 256
_LENGTH = 128 * VOICE_COUNT


@dataclass(frozen=True)
class Evaluation:
    """Means over notes; a note is one voice at one sixteenth, silence included."""

    nats_per_note: float
    """Cross-entropy over whole pieces: each note once, given all notes before it."""
    accuracy: float
    """Share of those notes that are the most probable one."""
    moving_accuracy: float
    """Share among the notes that differ from the same voice's a sixteenth before. Three of four
    notes are held, and to repeat them is right without knowing any music. NaN if no note moves."""
    notes: int
    """Number of notes of all pieces."""
    book_loss: float
    """Nats a note as in the book: windows of 33 chords, 16 apart, each without what came before it,
    its first note and the piece's last chords left out. NaN if no piece fills a window.
    """
    book_accuracy: float
    """Share of the notes in these windows that are the most probable one."""

    def as_dict(self) -> dict[str, float]:
        """Return the metrics by name."""
        return asdict(self)


def evaluate(composer: TrainedComposer, chorales: Sequence[Chords]) -> Evaluation:
    """Evaluate a composer on some chorales."""
    whole = _totals(composer, _whole_pieces(chorales))
    book = _totals(composer, _windows(chorales), whole=False)
    return Evaluation(
        nats_per_note=_mean(whole.nats, whole.notes),
        accuracy=_mean(whole.right, whole.notes),
        moving_accuracy=_mean(whole.moving_right, whole.moving),
        notes=whole.notes,
        book_loss=_mean(book.nats, book.notes),
        book_accuracy=_mean(book.right, book.notes),
    )


def total_nats(composer: TrainedComposer, chorales: Sequence[Chords]) -> float:
    """Return the cost of whole chorales together, each note given all notes before it: nats."""
    return _totals(composer, _whole_pieces(chorales)).nats


class _Totals(NamedTuple):
    """Sums over notes, and the numbers of notes."""

    nats: float
    right: int
    notes: int
    moving_right: int
    moving: int


def _mean(total: float, count: int) -> float:
    return total / count if count else float("nan")


def _totals(
    composer: TrainedComposer, batches: Iterator[npt.NDArray[np.int8]], *, whole: bool = True
) -> _Totals:
    """Return the totals of all notes of whole pieces, or of windows without their first note."""
    skip = 0 if whole else 1
    totals = np.zeros(len(_Totals._fields))
    progress = Every()
    for batch in batches:
        nats, right = composer.judge(batch, whole=whole)
        counted = (batch != NONE)[:, skip:]
        moving = np.zeros(batch.shape, bool)
        moving[:, VOICE_COUNT:] = batch[:, VOICE_COUNT:] != batch[:, :-VOICE_COUNT]
        moving = moving[:, skip:] & counted
        right = right[:, skip:]
        totals += (
            nats[:, skip:].sum(dtype=np.float64),
            right.sum(),
            counted.sum(),
            (right & moving).sum(),
            moving.sum(),
        )
        if progress():
            say(f"evaluated {totals[2]:,.0f} notes")
    if not np.isfinite(totals[0]):
        raise UserError(f"the composer's loss is not finite ({totals[0]}): its training diverged")
    return _Totals(float(totals[0]), *map(int, totals[1:]))


def _whole_pieces(chorales: Sequence[Chords]) -> Iterator[npt.NDArray[np.int8]]:
    pieces = sorted(map(tokens.to_tokens, chorales), key=len)
    for start in range(0, len(pieces), _PIECES):
        group = pieces[start : start + _PIECES]
        yield _padded(group, _PIECES, -(-len(group[-1]) // _LENGTH) * _LENGTH)


def _windows(chorales: Sequence[Chords]) -> Iterator[npt.NDArray[np.int8]]:
    windows = [
        window
        for chords in chorales
        for window in tokens.windows(
            tokens.to_tokens(chords), BOOK_CHORDS, BOOK_SHIFT, drop_remainder=True
        )
    ]
    for start in range(0, len(windows), _WINDOWS):
        yield _padded(windows[start : start + _WINDOWS], _WINDOWS, BOOK_CHORDS * VOICE_COUNT)


def _padded(rows: Sequence[Tokens], count: int, length: int) -> npt.NDArray[np.int8]:
    """Pad rows, and fill the batch up with rows of -1, which do not count."""
    batch = np.full((count, length), NONE, np.int8)
    for filled, row in zip(batch, rows, strict=False):
        filled[: len(row)] = row
    return batch
