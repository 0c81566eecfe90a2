"""Triads, seventh chords, their roots, and keys, from the pitch classes of a chorale.

Pitch classes are the twelve notes of the octave, 0 for every C. Spelling is unknown, so an
augmented second is a minor third. Chords are those of Kostka and Payne, "Tonal Harmony", chapters 3
and 4. The method and the profiles of keys are those of Albrecht and Shanahan, "The Use of Large
Corpora to Train a New Type of Key-Finding Algorithm" (Music Perception 31, 2013).
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import Chords

CLASSES = 12
_TRIADS = ((0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 8))  # major, minor, diminished, augmented
_SEVENTHS = ((0, 4, 7, 10), (0, 4, 7, 11), (0, 3, 7, 10), (0, 3, 6, 10), (0, 3, 6, 9))
_MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
_MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)


def _key_profiles() -> npt.NDArray[np.float64]:
    profiles = np.array(
        [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(CLASSES)]
    ).T
    centred = profiles - profiles.mean(axis=0)
    scaled: npt.NDArray[np.float64] = centred / np.sqrt((centred**2).sum(axis=0))
    return scaled


KEY_PROFILES = _key_profiles()
"""Profiles of C major to B major, then C minor to B minor, float64 [12, 24]. A histogram of pitch
classes times this is largest at its key. The products are correlations times the histogram's
scale."""


def pitch_class_sets(chords: Chords) -> npt.NDArray[np.int64]:
    """Return the pitch classes of each chord as bits of a number, int64 [n]; 0 for silence."""
    bits = np.where(chords > 0, 1 << (chords.astype(np.int64) % CLASSES), 0)
    return np.asarray(np.bitwise_or.reduce(bits, axis=1))


def _bits(notes: Sequence[int], root: int) -> int:
    return sum(1 << (note + root) % CLASSES for note in notes)


def _parts(kinds: Sequence[Sequence[int]]) -> npt.NDArray[np.bool_]:
    table = np.zeros(1 << CLASSES, bool)
    for kind in kinds:
        for size in range(1, len(kind) + 1):
            for part in combinations(kind, size):
                table[[_bits(part, root) for root in range(CLASSES)]] = True
    return table


def _notes(kinds: Sequence[Sequence[int]], note: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return a table by set: the pitch class of one note of each chord; -1 for other sets.

    Args:
        kinds: kinds of chords, as semitones from the root.
        note: the note of each kind, likewise.
    """
    table = np.full(1 << CLASSES, -1)
    for kind, interval in zip(kinds, note, strict=True):
        for root in range(CLASSES):
            table[_bits(kind, root)] = (root + interval) % CLASSES
    return table


# Tables by the numbers of `pitch_class_sets`. The fifth of a major or minor chord may be missing.
IS_TRIAD = _parts(_TRIADS)
"""True where all notes belong to one triad."""
IS_CHORD = _parts((*_TRIADS, *_SEVENTHS))
"""True where all notes belong to one triad or one seventh chord."""
_ROOTED = ((0, 4, 7), (0, 4), (0, 3, 7), (0, 3))
_DOMINANTS = ((0, 4, 7, 10), (0, 4, 10))
ROOT = _notes(_ROOTED, (0,) * 4)
"""Root of a major or minor triad."""
DOMINANT = _notes((*_ROOTED[:2], *_DOMINANTS), (0,) * 4)
"""Root of a major triad or a dominant seventh chord, which may be a dominant."""
LEADING = _notes((*_DOMINANTS, (0, 3, 6)), (4, 4, 0))
"""Leading note of a chord that has no other reading: third of a dominant seventh chord, root of a
diminished triad."""
SEVENTH = _notes(
    (*_DOMINANTS, (0, 4, 7, 11), (0, 4, 11), (0, 3, 7, 10), (0, 3, 6, 10)), (10, 10, 11, 11, 10, 10)
)
"""Seventh of a seventh chord; -1 for a diminished one, in which any note may be the seventh."""


def tonic_fits(chorales: Sequence[Chords], notes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return whether a pitch class is the tonic of each chorale's key, bool [chorales].

    Args:
        chorales: chords int16 [n, 4] each.
        notes: a pitch class for each chorale; any key that fits equally well is accepted.
    """
    histograms = np.stack(
        [np.bincount(chords[chords > 0] % CLASSES, minlength=CLASSES) for chords in chorales]
    )
    fits = histograms @ KEY_PROFILES
    fits = np.maximum(fits[:, :CLASSES], fits[:, CLASSES:])  # major or minor
    own = np.take_along_axis(fits, notes[:, None], axis=1)[:, 0]
    return np.asarray(own >= fits.max(axis=1) - 1e-9 * histograms.sum(axis=1))
