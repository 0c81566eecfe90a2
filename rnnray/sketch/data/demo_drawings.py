"""Drawings that the project generates itself, to train on without network or data.

The categories are those Quick, Draw! classes that a program can draw. Each drawing is sketched in
strokes with a person's variety, simplified like the published drawings, and normalised to ink. So
everything built for the real data set runs on these.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.sketch.data.demo_shapes import SHAPES
from rnnray.sketch.data.simplify import EPSILON, SIZE, ramer_douglas_peucker

# Points are complex, x + iy with y downwards: multiplication rotates, conjugation mirrors.
Points = npt.NDArray[np.complexfloating[Any, Any]]
Reals = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Point = complex | Reals | Points

CLASS_NAMES: tuple[str, ...] = tuple(sorted(SHAPES))

# Number of drawings made together, which share the fixed cost of NumPy calls.
_BLOCK = 2048


def inks(
    count: int, *, seed: int, start: int = 0
) -> tuple[npt.NDArray[np.float32], Integers, Integers]:
    """Make drawings number `start` to `start + count - 1` of the endless sequence of `seed`.

    A drawing depends only on the seed and its number. So tasks can each make a part of the
    sequence, and a part that is made again is the same (with the same version of NumPy).

    Args:
        count: number of drawings.
        seed: seed of the sequence.
        start: number of the first drawing.

    Returns:
        values: float32 [points, 3], the inks of all drawings end to end: rows (dx, dy,
            end_of_stroke) in units of the drawing's bounding box, as in the tutorial's data set.
        lengths: int64 [count], the rows of each drawing's ink.
        class_indices: int64 [count], indices into `CLASS_NAMES`, each equally likely.

    Raises:
        ValueError: `count`, `start` or `seed` is negative.
    """
    if min(count, start, seed) < 0:
        raise ValueError(f"count, start, seed must not be negative: {count}, {start}, {seed}")
    values = [np.zeros((0, 3), np.float32)]
    lengths = [np.zeros(0, np.int64)]
    class_indices = [np.zeros(0, np.int64)]
    for block in range(start // _BLOCK, -(-(start + count) // _BLOCK) if count else 0):
        ink, rows, classes = _make_block(seed, block)
        wanted = slice(max(start - block * _BLOCK, 0), start + count - block * _BLOCK)
        ends = np.cumsum(rows)
        values.append(ink[(ends - rows)[wanted][0] : ends[wanted][-1]])
        lengths.append(rows[wanted])
        class_indices.append(classes[wanted])
    return np.concatenate(values), np.concatenate(lengths), np.concatenate(class_indices)


class Pen:
    """Draws the same thing `count` times at once, each time a little differently.

    Things are about 2 wide and high, around 0. Numbers and points may be arrays [count, 1] or
    [count, n]; `when`, bool [count, 1], selects the drawings that get a stroke at all.
    """

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.count = count
        self._rng = rng
        self._sloppiness = np.minimum(rng.lognormal(0.0, 0.5, (count, 1)), 2.5)
        self._strokes: list[tuple[Points, Integers]] = []

    def uniform(self, low: float, high: float, columns: int = 1) -> Reals:
        """Draw random numbers between low and high: float64 [count, columns]."""
        return self._rng.uniform(low, high, (self.count, columns))

    def number(self, low: int, high: int) -> Integers:
        """Draw random integers from low to high, both included: int64 [count, 1]."""
        return self._rng.integers(low, high, (self.count, 1), endpoint=True)

    def chance(self, probability: float) -> Flags:
        """Decide at random for each drawing: bool [count, 1]."""
        return self._rng.random((self.count, 1)) < probability

    def line(
        self, *corners: Point, when: Flags | None = None, used: Integers | None = None
    ) -> None:
        """Draw one stroke of straight edges.

        Args:
            corners: points from end to end of the edges.
            when: see the class.
            used: int64 [count, 1], number of corners that count; by default all.
        """
        samples = 4  # points on an edge, for the hand's sway to bend
        lengths = None if used is None else (used - 1) * samples + 1
        self._add(_along_edges(self._jitter(self._row(corners)), samples), when, lengths)

    def curve(self, *pieces: Point, when: Flags | None = None) -> None:
        """Draw one stroke through points that lie close together."""
        points = self._row(pieces)
        self._add(points + self._noise(points, 0.03), when)

    def loop(
        self, *corners: Point, when: Flags | None = None, samples: int = 6, smooth: bool = False
    ) -> None:
        """Draw a closed outline from any corner, in either direction, not quite closed.

        Args:
            corners: corners of the outline, or points of it that lie close together.
            when: see the class.
            samples: points on an edge.
            smooth: whether the corners stay where they are, as on a curve.
        """
        path = self._row(corners) if smooth else self._jitter(self._row(corners))
        outline = _along_edges(np.concatenate([path, path[:, :1]], axis=1), samples)
        around = outline.shape[1] - 1
        most = around + around // 6 + 1  # people draw past the start, or stop before it
        lengths = around + 1 + np.rint(self._rng.normal(0.0, 0.04, (self.count, 1)) * around)
        first = self._rng.integers(path.shape[1], size=(self.count, 1)) * samples
        way = np.where(self.chance(0.5), 1, -1)
        points = np.take_along_axis(outline, (first + way * np.arange(most)) % around, axis=1)
        points += self._noise(outline, 0.025) * (np.arange(most) / around)
        self._add(points, when, np.minimum(lengths, most).astype(np.int64))

    def polygon(self, *corners: Point, when: Flags | None = None, apart: float = 0.15) -> None:
        """Draw a closed outline with corners.

        Args:
            corners: corners of the outline.
            when: see the class.
            apart: probability that it is drawn as separate sides.
        """
        split = self.chance(apart)
        wanted = self.chance(1.0) if when is None else when
        path = self._row(corners)
        self.loop(path, when=wanted & ~split)
        for side in range(path.shape[1]):
            ahead = (side + 1) % path.shape[1]
            self.line(path[:, [side]], path[:, [ahead]], when=wanted & split)

    def arc(
        self, center: Point, rx: float | Reals, ry: float | Reals, begin: float, end: float
    ) -> Points:
        """Return points on an ellipse, complex128 [count, n].

        Args:
            center: center of the ellipse.
            rx: radius along x.
            ry: radius along y.
            begin: first angle in turns: 0 right, 0.25 down, 0.5 left.
            end: last angle in turns.
        """
        angles = 2 * np.pi * np.linspace(begin, end, 3 + int(20 * abs(end - begin)))
        return self._row([center + rx * np.cos(angles) + 1j * ry * np.sin(angles)])

    def ellipse(
        self, center: Point, rx: float | Reals, ry: float | Reals, when: Flags | None = None
    ) -> None:
        """Draw a closed ellipse, as a hand does.

        Args:
            center: center of the ellipse.
            rx: radius along x.
            ry: radius along y.
            when: see the class.
        """
        angles = 2 * np.pi * np.arange(24) / 24
        # A second harmonic of the radius makes it an egg or a tilted oval.
        bulge = 1 + 0.06 * self._sloppiness * np.cos(2 * angles + self.uniform(0, 6.28))
        shape = bulge * (rx * np.cos(angles) + 1j * ry * np.sin(angles))
        self.loop(center + shape, when=when, samples=1, smooth=True)

    def dot(self, center: Point, radius: float | Reals, when: Flags | None = None) -> None:
        """Draw a small blot: a curl of the pen.

        Args:
            center: center of the blot.
            radius: radius of the curl.
            when: see the class.
        """
        turns = np.linspace(0, 1.2, 8)
        self._add(center + radius * np.exp(2j * np.pi * (turns + self.uniform(0, 1))), when)

    def strokes(self) -> Iterator[tuple[Points, Integers, Integers, Reals]]:
        """Yield points [n], drawings [s], lengths [s] and times [s] of s strokes at a time."""
        # Parts are drawn in their usual order, in reverse, or in a jumble.
        onward = np.where(self.chance(0.2), -1.0, 1.0)[:, 0]
        jumble = self.uniform(0, 1.2)[:, 0]
        for order, (points, lengths) in enumerate(self._strokes):
            drawings = np.flatnonzero(lengths)
            used = lengths[drawings]
            times = onward * order + jumble * self._rng.normal(size=self.count)
            inside = np.arange(points.shape[1]) < used[:, None]
            yield points[drawings][inside], drawings, used, times[drawings]

    def _row(self, points: Sequence[Point]) -> Points:
        columns = [np.atleast_2d(np.asarray(point, np.complex128)) for point in points]
        return np.concatenate(
            [np.broadcast_to(column, (self.count, column.shape[1])) for column in columns], axis=1
        )

    def _noise(self, like: Points, scale: float, columns: int = 1) -> Points:
        """Make shifts complex128 [count, columns] that grow with size and sloppiness."""
        x, y = like.real, like.imag
        size = np.maximum(np.ptp(x, axis=1, keepdims=True), np.ptp(y, axis=1, keepdims=True))
        shift = self._rng.normal(0.0, scale, (2, self.count, columns))
        return np.asarray((shift[0] + 1j * shift[1]) * size * self._sloppiness)

    def _jitter(self, corners: Points) -> Points:
        return corners + self._noise(corners, 0.022, corners.shape[1])

    def _add(self, points: Points, when: Flags | None, lengths: Integers | None = None) -> None:
        """Keep a stroke of the first `lengths` points, sometimes in reverse."""
        if lengths is None:
            lengths = np.full((self.count, 1), points.shape[1])
        order = np.arange(points.shape[1])
        order = np.where(self.chance(0.3), np.maximum(lengths - 1 - order, 0), order)
        drawn = lengths if when is None else np.where(when, lengths, 0)
        self._strokes.append((np.take_along_axis(points, order, axis=1), drawn[:, 0]))


def _along_edges(corners: Points, samples: int) -> Points:
    """Put `samples` points on each edge of open paths [count, corners]."""
    edges = np.diff(corners, axis=1)[..., None] * (np.arange(samples) / samples)
    points = (corners[:, :-1, None] + edges).reshape(len(corners), -1)
    return np.concatenate([points, corners[:, -1:]], axis=1)


@lru_cache(maxsize=4)  # parts shorter than a block follow each other
def _make_block(seed: int, block: int) -> tuple[npt.NDArray[np.float32], Integers, Integers]:
    rng = np.random.default_rng([seed, block])
    class_indices = rng.integers(len(CLASS_NAMES), size=_BLOCK)
    parts = []
    for class_index, name in enumerate(CLASS_NAMES):
        members = np.flatnonzero(class_indices == class_index)
        pen = Pen(rng, len(members))
        SHAPES[name](pen)
        parts += [(p, members[drawings], n, t) for p, drawings, n, t in pen.strokes()]
    points, drawings, lengths, times = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((times, drawings))
    rank = np.argsort(order)
    points = points[np.argsort(np.repeat(rank, lengths), kind="stable")]
    drawings, lengths = drawings[order], lengths[order]

    pixels = _fit_box(_by_hand(rng, points, drawings, lengths), np.repeat(drawings, lengths))
    kept = _simplify(pixels, lengths)
    lengths = np.add.reduceat(kept, np.cumsum(lengths) - lengths, dtype=np.int64)
    coordinates = np.rint(pixels[kept].view(np.float64).reshape(-1, 2))
    values, rows = _to_ink(coordinates, drawings, lengths)
    return values, rows, class_indices


def _by_hand(
    rng: np.random.Generator, points: Points, drawings: Integers, lengths: Integers
) -> Points:
    """Bend strokes as a hand does: rounded corners, a slow sway, a lean of the whole drawing.

    Noise at every point would be a tremor; people drift slowly, over a good part of the drawing.
    """
    starts, stroke = np.cumsum(lengths) - lengths, np.repeat(np.arange(len(lengths)), lengths)
    ends = starts + lengths - 1
    steps = np.diff(points, prepend=0)
    steps[starts] = 0
    travelled = np.cumsum(abs(steps))
    bend = np.diff(steps, append=0)
    bend[starts] = bend[ends] = 0
    bent = points + rng.uniform(0, 0.2, len(lengths))[stroke] * bend
    # Short strokes sway less.
    sloppiness = np.minimum(rng.lognormal(0.0, 0.5, _BLOCK), 2.5)[drawings]
    swing = 0.016 * sloppiness * np.minimum((travelled[ends] - travelled[starts]) / 2, 1)
    # Radians a unit: a sway along a side of a square in both directions, and a faster ripple.
    for low, high, share in ((1.0, 4.0, 1.0), (-4.0, -1.0, 1.0), (4.0, 8.0, 0.5)):
        pace = rng.uniform(low, high, len(lengths))
        amount = share * swing * (rng.normal(size=(2, len(lengths))).T @ [1, 1j])
        bent += amount[stroke] * np.exp(1j * pace[stroke] * travelled)
    mirrored, turn = rng.random(_BLOCK) < 0.5, np.exp(1j * rng.normal(0.0, 0.08, _BLOCK))
    width, slant = rng.lognormal(0.0, 0.12, _BLOCK), rng.normal(0.0, 0.06, _BLOCK)
    drawing = drawings[stroke]
    x = np.where(mirrored, -width, width)[drawing] * bent.real + slant[drawing] * bent.imag
    return np.asarray((x + 1j * bent.imag) * turn[drawing])


def _fit_box(points: Points, drawing: Integers) -> Points:
    """Scale each drawing to 0 .. SIZE pixels in its longer direction."""
    starts = np.searchsorted(drawing, np.arange(_BLOCK))
    low, high = (
        f.reduceat(points.real, starts) + 1j * f.reduceat(points.imag, starts)
        for f in (np.minimum, np.maximum)
    )
    extent = np.maximum((high - low).real, (high - low).imag)
    return np.asarray((points - low[drawing]) * (SIZE / extent)[drawing])


def _simplify(points: Points, lengths: Integers) -> Flags:
    """Return the points that Ramer-Douglas-Peucker keeps of strokes end to end: bool [points]."""
    kept = np.zeros(len(points), np.bool_)
    coordinates = points.view(np.float64).reshape(-1, 2).T
    for start, end in pairwise([0, *np.cumsum(lengths).tolist()]):
        kept[start + ramer_douglas_peucker(coordinates[:, start:end], EPSILON)] = True
    return kept


def _to_ink(
    coordinates: Reals, drawings: Integers, lengths: Integers
) -> tuple[npt.NDArray[np.float32], Integers]:
    """Normalise all drawings at once: coordinates [points, 2] of strokes [s] -> ink, rows."""
    drawing = np.repeat(drawings, lengths)
    starts = np.searchsorted(drawing, np.arange(drawings[-1] + 1))
    low, high = np.minimum.reduceat(coordinates, starts), np.maximum.reduceat(coordinates, starts)
    extent = np.where(high > low, high - low, 1)
    xy = ((coordinates - low[drawing]) / extent[drawing]).astype(np.float32)
    ink = np.zeros((len(xy), 3), np.float32)
    ink[1:, :2] = np.diff(xy, axis=0)
    ink[np.cumsum(lengths) - 1, 2] = 1
    return np.delete(ink, starts, axis=0), np.diff(starts, append=len(xy)) - 1
