"""The categories of the demo drawings: a function each, which draws with a `Pen`.

Points are complex, x + iy with y downwards, from about -1 - 1j to 1 + 1j. Things vary as people
draw them, and sometimes lack a detail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # `demo` imports this module
    from rnnray.sketch.data.demo_drawings import Pen, Point, Points, Reals


def _box(left: Point, top: Point, right: Point, bottom: Point) -> tuple[Point, ...]:
    return left + 1j * top, right + 1j * top, right + 1j * bottom, left + 1j * bottom


def _polar(turns: float | Reals, radius: float | Reals = 1.0) -> Points:
    """Return points around 0, by turns: 0 = right, 0.25 = down, 0.5 = left, 0.75 = up."""
    return np.asarray(radius * np.exp(2j * np.pi * turns), np.complex128)


def _draw_circle(pen: Pen) -> None:
    pen.ellipse(0, 1, pen.uniform(0.8, 1.2))


def _draw_clock(pen: Pen) -> None:
    pen.ellipse(0, 1, pen.uniform(0.85, 1.1))
    time, one_stroke = pen.uniform(0, 1), pen.chance(0.5)
    hour = _polar(time - 0.25, pen.uniform(0.3, 0.5))
    minute = _polar(12 * time - 0.25, pen.uniform(0.6, 0.8))
    pen.line(hour, 0, minute, when=one_stroke)
    pen.line(0, hour, when=~one_stroke)
    pen.line(0, minute, when=~one_stroke)
    ticks, inner = pen.number(0, 2), pen.uniform(0.75, 0.88)
    for i in range(12):
        pen.line(_polar(i / 12, inner), _polar(i / 12, 0.97), when=ticks > (i % 3 > 0))


def _draw_cloud(pen: Pen) -> None:
    around = np.arange(72) / 72
    puffs = abs(np.sin(np.pi * (pen.number(5, 9) * around + pen.uniform(0, 1))))
    lopsided = 1 + 0.3 * np.sin(2 * np.pi * (around + pen.uniform(0, 1)))
    outline = _polar(around, 0.75 + pen.uniform(0.2, 0.4) * puffs * lopsided)
    bottom = np.where(pen.chance(0.6), 0.35, 1.5)
    pen.loop(outline.real + 0.6j * np.minimum(outline.imag, bottom), samples=1, smooth=True)


def _draw_diamond(pen: Pen) -> None:
    gem, table, x = pen.chance(0.6), pen.uniform(0.4, 0.65), pen.uniform(0.25, 0.4)
    pen.polygon(-1j, pen.uniform(0.6, 0.9), 1j, pen.uniform(-0.9, -0.6), when=~gem)
    pen.polygon(-table - 0.7j, table - 0.7j, 1 - 0.25j, 1j, -1 - 0.25j, when=gem)
    belt = gem & pen.chance(0.8)
    pen.line(-1 - 0.25j, 1 - 0.25j, when=belt)
    pen.line(-x - 0.25j, 1j, x - 0.25j, when=belt & pen.chance(0.6))
    crown = (-table - 0.7j, -x - 0.25j, -0.7j, x - 0.25j, table - 0.7j)
    pen.line(*crown, when=belt & pen.chance(0.5))


def _draw_donut(pen: Pen) -> None:
    height, hole = pen.uniform(0.7, 1.1), pen.uniform(0.2, 0.45)
    pen.ellipse(0, 1, height)
    pen.ellipse(pen.uniform(-0.08, 0.08), hole, hole * height)
    sprinkles = pen.number(0, 8) * pen.chance(0.35)
    for i in range(8):
        point = _polar(pen.uniform(0, 1), pen.uniform(0.55, 0.8))
        pen.line(point, point + _polar(pen.uniform(0, 1), 0.14), when=sprinkles > i)


def _draw_envelope(pen: Pen) -> None:
    y, tip = pen.uniform(0.5, 0.75), 1j * pen.uniform(-0.2, 0.25)
    pen.polygon(*_box(-1, -y, 1, y))
    pen.line(-1 - 1j * y, tip, 1 - 1j * y)
    folds = pen.chance(0.25)
    for side in (-1, 1):
        pen.line(side + 1j * y, 0.2 * side + tip - 0.1j, when=folds)


def _draw_fence(pen: Pen) -> None:
    posts, pointed, wide = pen.number(3, 6), pen.chance(0.5), pen.uniform(0.08, 0.14)
    for i in range(6):
        x, here = (2 * i + 1) / posts - 1, posts > i
        picket = (x - wide + 1j, x - wide - 0.5j, x - 0.9j, x + wide - 0.5j, x + wide + 1j)
        pen.line(*picket, when=here & pointed)
        pen.line(x - 0.8j, x + 1j, when=here & ~pointed)
    for low, high, probability in ((-0.35, -0.1, 1.0), (0.3, 0.6, 0.8)):
        left, right = 1j * pen.uniform(low, high), 1j * pen.uniform(low, high)
        pen.line(-1.1 + left, 1.1 + right, when=pen.chance(probability))


def _draw_fish(pen: Pen) -> None:
    height, tail, end = pen.uniform(0.35, 0.6), pen.uniform(0.2, 0.45), pen.uniform(0.95, 1.2)
    t, one_stroke = np.linspace(0, 1, 16), pen.chance(0.5)
    back = 1j * height * np.sin(np.pi * t**0.8)
    along, fin = -0.9 + 1.5 * t, (end - 1j * tail, end + 1j * tail)
    pen.curve(fin[0], (along - back)[:, ::-1], along + back, fin[1], fin[0], when=one_stroke)
    pen.ellipse(-0.15, 0.75, height, when=~one_stroke)
    pen.line(0.6, *fin, 0.6, when=~one_stroke)
    pen.dot(-0.55 - 0.1j, pen.uniform(0.03, 0.08), when=pen.chance(0.85))
    pen.curve(pen.arc(-0.5, 0.2, 0.7 * height, -0.2, 0.2), when=pen.chance(0.3))


def _draw_hexagon(pen: Pen) -> None:
    pen.polygon(_polar(np.arange(6) / 6 + 0.25 * pen.chance(0.35)))


def _draw_house(pen: Pen) -> None:
    eaves, over, apex = 1j * pen.uniform(-0.3, 0.1), pen.uniform(0, 0.2), pen.uniform(-0.1, 0.1)
    left, right, top = eaves - 0.8, eaves + 0.8, apex - 1j
    way = pen.number(0, 3)
    pen.loop(-0.8 + 1j, left, top, right, 0.8 + 1j, when=way == 0)
    pen.polygon(left, right, 0.8 + 1j, -0.8 + 1j, when=way >= 2)
    pen.line(left, -0.8 + 1j, 0.8 + 1j, right, when=way == 1)
    pen.polygon(left - over, top, right + over, when=way == 1)
    pen.line(left - over, top, right + over, when=way >= 2)
    x, y = pen.uniform(-0.3, 0.1), 1j * pen.uniform(0.3, 0.55)
    pen.line(x + 1j, x + y, x + 0.3 + y, x + 0.3 + 1j, when=pen.chance(0.8))
    pane = np.array([[0.1, 0.35, 0.35 + 0.25j, 0.1 + 0.25j]])
    pen.loop(eaves + x + 0.3 + 0.25j + pane, when=pen.chance(0.4))
    pen.loop(eaves - 0.75 + 0.25j + pane, when=pen.chance(0.4) & (x > -0.2))
    pen.line(0.4 - 0.6j, 0.4 - 1j, 0.6 - 1j, 0.6 - 0.4j, when=pen.chance(0.3))


def _draw_hurricane(pen: Pen) -> None:
    t = np.linspace(0, 1, 90)
    radius = 0.05 + t ** pen.uniform(0.7, 1.3)
    pen.curve(_polar(pen.uniform(0, 1) + pen.uniform(2.0, 5.0) * t, radius))


def _draw_ladder(pen: Pen) -> None:
    rungs, lean, wide = pen.number(3, 7), pen.uniform(-0.2, 0.2), pen.uniform(0.3, 0.5)
    for side in (-1, 1):
        pen.line(side * wide + lean - 1j, side * wide - lean + 1j)
    for i in range(7):
        y = 2 * (i + 0.7) / (rungs + 0.4) - 1
        pen.line(-wide - lean * y + 1j * y, wide - lean * y + 1j * y, when=rungs > i)


def _draw_lightning(pen: Pen) -> None:
    open_end, x = pen.chance(0.25), pen.uniform(-0.1, 0.1)
    bolt = (-0.1 - 1j, x - 0.6 + 0.1j, x - 0.05 + 0.05j, -0.4 + 1j)
    pen.line(*bolt, when=open_end)
    pen.loop(*bolt, x + 0.55 - 0.25j, x + 0.05 - 0.2j, 0.5 - 1j, when=~open_end)


def _draw_line(pen: Pen) -> None:
    t = np.linspace(-1, 1, 16)
    bow = np.where(pen.chance(0.5), 1, -1) * pen.uniform(0.04, 0.12)
    wave = bow * (1 - t**2) * (1 + pen.uniform(-1.5, 1.5) * t)
    pen.curve(_polar(pen.chance(0.4) * pen.uniform(-0.25, 0.25)) * (t + 1j * wave))


def _draw_moon(pen: Pen) -> None:
    horn, depth, one_stroke = pen.uniform(0.1, 0.2), pen.uniform(0.3, 0.8), pen.chance(0.8)
    outer = _polar(horn + (1 - 2 * horn) * np.linspace(0, 1, 20))
    x, y = np.cos(2 * np.pi * horn), np.sin(2 * np.pi * horn)
    inner = pen.arc(x, depth * (1 + x), y, 0.75, 0.25)
    tilt = _polar(pen.uniform(-0.08, 0.08))
    pen.loop(tilt * outer, tilt * inner, when=one_stroke, samples=1, smooth=True)
    pen.curve(tilt * outer, when=~one_stroke)
    pen.curve(tilt * inner, when=~one_stroke)


def _draw_mountain(pen: Pen) -> None:
    peaks, i = pen.number(1, 3), np.arange(7)
    x = (i + pen.uniform(-0.25, 0.25, 7) * (i > 0)) / peaks - 1
    valleys = pen.uniform(-0.1, 0.6, 7) * (i > 0) * (i < 2 * peaks)
    ridge = x - 1j * np.where(i % 2, pen.uniform(0.6, 1.4, 7), valleys)
    pen.line(ridge, used=2 * peaks + 1)
    pen.line(-1, 1, when=pen.chance(0.2))
    half, snow = 0.35 * (x[:, [1]] + 1), x[:, [1]] + 0.65j * ridge[:, [1]].imag
    pen.line(snow - half, snow - half / 2 + 0.2j, snow, snow + half, when=pen.chance(0.25))


def _draw_mug(pen: Pen) -> None:
    wide, taper, oval = pen.uniform(0.5, 0.7), pen.uniform(0.8, 1.0), pen.chance(0.6)
    corners = _box(-wide, -0.8, wide, 0.9)
    foot = pen.arc(0.8j, taper * wide, 0.15, 0.5, 0.0)
    pen.curve(corners[0], foot, corners[1], when=oval)
    pen.ellipse(-0.8j, wide, pen.uniform(0.1, 0.22), when=oval)
    pen.polygon(*corners, when=~oval)
    reach, high = pen.uniform(0.3, 0.5), pen.uniform(0.35, 0.5)
    pen.curve(pen.arc(0.95 * wide, reach, high, -0.25, 0.25))
    pen.curve(pen.arc(0.95 * wide, 0.6 * reach, 0.6 * high, -0.25, 0.25), when=pen.chance(0.6))


def _draw_octagon(pen: Pen) -> None:
    pen.polygon(_polar((np.arange(8) + 0.5 * pen.chance(0.8)) / 8))


def _draw_sailboat(pen: Pen) -> None:
    mast, deck = pen.uniform(-0.2, 0.2), 0.4j
    pen.polygon(-1 + deck, 1 + deck, 0.6 + 0.9j, -0.6 + 0.9j, when=(flat := pen.chance(0.6)))
    pen.curve(-1 + deck, pen.arc(deck, 1, 0.5, 0.5, 0.0), -1 + deck, when=~flat)
    pen.line(mast - 1j, mast + deck)
    pen.line(mast - 1j, mast + pen.uniform(0.5, 0.9) + 0.2j, mast + 0.2j)
    pen.line(mast - 0.9j, mast - pen.uniform(0.4, 0.7) + 0.2j, mast + 0.2j, when=pen.chance(0.4))


def _draw_smiley_face(pen: Pen) -> None:
    pen.ellipse(0, 1, pen.uniform(0.85, 1.15))
    apart, high, tall = pen.uniform(0.25, 0.4), pen.uniform(-0.4, -0.2), pen.chance(0.3)
    for side in (-1, 1):
        eye = side * apart + 1j * high
        pen.dot(eye, pen.uniform(0.04, 0.12), when=~tall)
        pen.line(eye - 0.15j, eye + 0.1j, when=tall)
    wide, low = pen.uniform(0.4, 0.6), pen.uniform(0.05, 0.2)
    pen.curve(pen.arc(1j * low, wide, pen.uniform(0.25, 0.5), 0.5, 0.0))
    pen.line(-0.1j, 0.1j, when=pen.chance(0.15))


def _draw_square(pen: Pen) -> None:
    pen.polygon(*_box(-1, -1, 1, 1))


def _draw_squiggle(pen: Pen) -> None:
    t = np.linspace(-1, 1, 60)
    phase = 2 * np.pi * (pen.uniform(0.7, 2.2) * t + pen.uniform(0, 1))
    wave = np.sin(phase + 0.8 * np.sin(2 * t + pen.uniform(0, 6)))
    high = pen.uniform(0.2, 0.7) * (1 + pen.uniform(-0.6, 0.6) * t)
    loops = pen.chance(0.4) * pen.uniform(0.1, 0.35) * np.cos(phase)
    pen.curve(_polar(pen.uniform(-0.12, 0.12)) * (t + loops + 1j * high * wave))


def _draw_stairs(pen: Pen) -> None:
    steps, i = pen.number(3, 7), np.arange(15)
    pen.line(((i + 1) // 2 + 1j * (i // 2)) * 2 / steps - 1 - 1j, used=2 * steps + pen.number(0, 1))
    pen.line(-1 - 1j, -1 + 1j, 1 + 1j, when=pen.chance(0.2))


def _draw_star(pen: Pen) -> None:
    outline, points = pen.chance(0.35), np.arange(5)
    pen.loop(_polar(0.75 + 0.4 * points), when=~outline)
    inner = _polar(0.85 + 0.2 * points, pen.uniform(0.35, 0.5))
    both = np.stack([np.broadcast_to(_polar(0.75 + 0.2 * points), inner.shape), inner], axis=2)
    pen.loop(both.reshape(pen.count, 10), when=outline)


def _draw_sun(pen: Pen) -> None:
    size, rays, first = pen.uniform(0.35, 0.6), pen.number(6, 12), pen.uniform(0, 1)
    pen.ellipse(0, size, size)
    gap, reach = pen.uniform(0.0, 0.15), pen.uniform(0.8, 1.1)
    for i in range(12):
        turn = first + (i + pen.uniform(-0.15, 0.15)) / rays
        pen.line(_polar(turn, size + gap), _polar(turn, reach), when=rays > i)


def _draw_television(pen: Pen) -> None:
    y, antenna = pen.uniform(0.6, 0.8), pen.chance(0.6)
    pen.polygon(*_box(-1, -y, 1, y))
    frame, right = pen.chance(0.7) | ~antenna, np.where(pen.chance(0.4), 0.5, 0.85)
    pen.polygon(*_box(-0.85, 0.2 - y, right, y - 0.2), when=frame, apart=0)
    knobs = pen.number(0, 3) * frame * (right < 0.8)
    for i in range(3):
        pen.dot(0.75 + 1j * (0.3 * i - 0.4), 0.08, when=knobs > i)
    pen.line(-0.4 - 1.4j, -1j * y, 0.4 - 1.4j, when=antenna)
    stand = (-0.15 + 1j * y, -0.4 + 1j * (y + 0.25), 0.4 + 1j * (y + 0.25), 0.15 + 1j * y)
    pen.line(*stand, when=pen.chance(0.5) & ~antenna)


def _draw_traffic_light(pen: Pen) -> None:
    wide, size = pen.uniform(0.35, 0.5), pen.uniform(0.18, 0.26)
    pen.polygon(*_box(-wide, -1, wide, 1))
    for y in (-0.65, 0.0, 0.65):
        pen.ellipse(1j * y, size, size)
    pen.line(1j, 1.8j, when=pen.chance(0.35))


def _draw_triangle(pen: Pen) -> None:
    pen.polygon(pen.uniform(-0.4, 0.4) - 1j, 1 + 0.8j, -1 + 0.8j)


def _draw_umbrella(pen: Pen) -> None:
    scallops, high = pen.number(1, 4), pen.uniform(0.7, 1.0)
    pen.curve(pen.arc(0, 1, high, 0.5, 1.0))
    t = np.linspace(-1, 1, 25)
    pen.curve(t - 1j * pen.uniform(0.1, 0.2) * abs(np.cos(np.pi / 2 * (scallops * (t + 1) - 1))))
    hook, low = pen.uniform(0.12, 0.22), 1j * pen.uniform(0.7, 1.0)
    pen.curve(-0.1j, low / 2, low, pen.arc(low + hook, hook, hook, 0.5, 0.05))


def _draw_zigzag(pen: Pen) -> None:
    corners = pen.number(4, 10)
    heights = pen.uniform(0.25, 0.6) * pen.uniform(0.6, 1.2, 10) * (-1) ** np.arange(10)
    pen.line(2 * np.arange(10) / (corners - 1) - 1 + 1j * heights, used=corners)


# `_draw_smiley_face` draws a "smiley face".
SHAPES: dict[str, Callable[[Pen], None]] = {
    name.removeprefix("_draw_").replace("_", " "): draw
    for name, draw in globals().items()
    if name.startswith("_draw_")
}
"""The function that draws each category, by its name in Quick, Draw!"""
