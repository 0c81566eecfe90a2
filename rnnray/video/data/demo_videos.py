"""Videos that the project generates itself, whose classes only the order of frames tells apart.

A ball goes around, clockwise or counter-clockwise, and each second has a tone, higher or lower than
that of the second before. No frame and no second says which: every class has the same frames and
tones in the other order, and as often.
"""

import io
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.video.data.video_file import import_av

TURNS, TONES = ("clockwise", "counter-clockwise"), ("rising", "falling")
CLASS_NAMES = tuple(sorted(f"{turn}-{tone}" for turn in TURNS for tone in TONES))
_SIDE, _FRAMES_A_SECOND, _RATE = 96, 8, 16_000
_SECONDS = (6, 10)
_LOWEST_HZ, _HIGHEST_HZ = 220, 3200
# Silence at both ends of a second: the encoder blurs what is next to it, and would give away the
# tone before.
_SILENCE = 0.15


def name_of(number: int) -> tuple[str, str]:
    """Return the class and the file name of a video of the endless sequence."""
    return CLASS_NAMES[number % len(CLASS_NAMES)], f"{number:05d}.mp4"


def content(number: int, *, seed: int = 0) -> bytes:
    """Return a video of the endless sequence of a seed: MP4, with H.264 and AAC."""
    random = np.random.default_rng((seed, number))
    turn, _, tone = name_of(number)[0].rpartition("-")
    seconds = int(random.integers(*_SECONDS, endpoint=True))
    pictures = _pictures(random, seconds, clockwise=turn == TURNS[0])
    return _encoded(pictures, _sound(random, seconds, rising=tone == TONES[0]))


def _pictures(
    random: np.random.Generator, seconds: int, *, clockwise: bool
) -> npt.NDArray[np.uint8]:
    """Return uint8 [frames, side, side, 3], of a ball that goes around."""
    count = seconds * _FRAMES_A_SECOND
    # A uniform first angle: the angles of a way are those of a way back from another first one.
    first, step = random.uniform(0, 2 * np.pi), random.uniform(np.pi / 5, np.pi / 2)
    angles = first + (1 if clockwise else -1) * step * np.arange(count) / _FRAMES_A_SECOND
    middle = _SIDE / 2 + random.uniform(-0.05, 0.05, 2) * _SIDE
    way, ball = random.uniform(0.24, 0.32) * _SIDE, random.uniform(0.13, 0.18) * _SIDE
    back, ball_colour = (
        random.uniform(low, high, 3).astype(np.float32) for low, high in ((0, 80), (160, 255))
    )
    # y is downwards in a picture, so that growing angles are clockwise.
    centres = middle[:, None] + way * np.stack([np.cos(angles), np.sin(angles)])
    x, y = centres.astype(np.float32)[:, :, None, None]
    row, column = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    inside = np.clip(ball - np.hypot(column - x, row - y), 0, 1)[..., None]
    colours = back + inside * (ball_colour - back)
    pictures: npt.NDArray[np.uint8] = colours.round().astype(np.uint8)
    return pictures


def _sound(random: np.random.Generator, seconds: int, *, rising: bool) -> npt.NDArray[np.int16]:
    """Return int16 [samples], of a tone a second."""
    octaves = np.log2(_HIGHEST_HZ / _LOWEST_HZ)
    span = random.uniform(0.7, 1) * octaves
    pitches = _LOWEST_HZ * 2 ** (random.uniform(0, octaves - span) + np.linspace(0, span, seconds))
    time = np.arange(_RATE) / _RATE
    loudness = np.sin(np.pi * np.clip((time - _SILENCE) / (1 - 2 * _SILENCE), 0, 1)) ** 0.5
    phases = random.uniform(0, 2 * np.pi, (seconds, 1))
    tones = loudness * np.sin(2 * np.pi * pitches[:, None] * time + phases)
    tones = tones if rising else tones[::-1]
    samples: npt.NDArray[np.int16] = (random.uniform(3000, 20000) * tones).ravel().astype(np.int16)
    return samples


def _encoded(pictures: npt.NDArray[np.uint8], sound: npt.NDArray[np.int16]) -> bytes:
    av = import_av()
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        # Whole pictures once a second: others could show traces of those before them.
        options = {"preset": "ultrafast", "crf": "20", "g": str(_FRAMES_A_SECOND), "bf": "0"}
        video: Any = container.add_stream("libx264", _FRAMES_A_SECOND, options)
        video.width = video.height = _SIDE
        video.pix_fmt = "yuv420p"
        video.thread_count = 1
        audio: Any = container.add_stream("aac", _RATE, {"aac_coder": "fast"}, layout="mono")
        audio.bit_rate = 32_000
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, Fraction(1, _FRAMES_A_SECOND)
            container.mux(video.encode(frame))
        samples = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = _RATE, 0, Fraction(1, _RATE)
        container.mux(audio.encode(samples))
        container.mux(video.encode())
        container.mux(audio.encode())
    return file.getvalue()
