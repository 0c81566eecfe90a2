"""How well a composer foretells chorales: over whole pieces, and in the book's windows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from rnnray.chorale import tokens
from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.progress import Every, say

BOOK_CHORDS, BOOK_SHIFT = 33, 16
# Rows that are judged at once, and what lengths are rounded up to: few shapes are few compilations.
_PIECES, _WINDOWS = 16, 256
_LENGTH = 128 * VOICE_COUNT


@dataclass(frozen=True)
class Evaluation:
    """Means over notes; a note is a sixteenth of a voice, silence too."""

    nats_per_note: float
    """Cross-entropy over whole pieces: each note once, given all notes before it."""
    accuracy: float
    """Share of those notes that are the likeliest one."""
    notes: int
    """Notes of all pieces."""
    book_loss: float
    """As in the book: windows of 33 chords, 16 apart, each begun cold, its first note and the
    piece's last chords left out; nats a note. NaN where no piece fills a window."""
    book_accuracy: float
    """Likewise."""

    def as_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def evaluate(composer: TrainedComposer, chorales: Sequence[Chords]) -> Evaluation:
    """Evaluate a composer on some chorales."""
    nats, right, notes = _totals(composer, _whole_pieces(chorales))
    book_nats, book_right, book_notes = _totals(composer, _windows(chorales), whole=False)
    return Evaluation(
        nats / notes,
        right / notes,
        notes,
        book_nats / book_notes if book_notes else float("nan"),
        book_right / book_notes if book_notes else float("nan"),
    )


def _totals(
    composer: TrainedComposer, batches: Iterator[npt.NDArray[np.int8]], *, whole: bool = True
) -> tuple[float, int, int]:
    """Sum of nats, right notes and notes: of whole pieces, or of windows but for the first note."""
    skip = 0 if whole else 1
    totals = np.zeros(3)
    progress = Every()
    for batch in batches:
        nats, right = composer.judge(batch, whole=whole)
        counted = (batch != NONE)[:, skip:]
        totals += nats[:, skip:].sum(dtype=np.float64), right[:, skip:].sum(), counted.sum()
        if progress():
            say(f"evaluated {totals[2]:,.0f} notes")
    if not np.isfinite(totals[0]):
        raise UserError(f"the composer's nats are not finite ({totals[0]}): its training diverged")
    return float(totals[0]), int(totals[1]), int(totals[2])


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
    """Rows of -1 fill a batch up; they count nothing."""
    batch = np.full((count, length), NONE, np.int8)
    for filled, row in zip(batch, rows, strict=False):
        filled[: len(row)] = row
    return batch
