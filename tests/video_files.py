"""Video files made for tests: grey pictures at given times, tones of given loudness; and clips."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pyarrow as pa

from rnnray.video.data import clip_table
from rnnray.video.data.video_file import Clip
from rnnray.video.video_config import FEATURES
from rnnray.video.video_task import VideoTask

RATE = 8000


def video(
    levels: Sequence[int] = (),
    times: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    *,
    kind: str = "mp4",
    codecs: tuple[str, str] = ("mpeg4", "aac"),
    rate: int = RATE,
    ticks: int = 1000,
) -> bytes:
    """A video whose pictures are all of one grey, 0 to 255.

    By default they follow each other twice a second; `sound` is int16 [samples] at `rate`. Times
    are in whole ticks of a second.
    """
    times = [0.5 * number for number in range(len(levels))] if times is None else times
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        pictures: Any = container.add_stream(codecs[0], min(ticks, 50)) if levels else None
        samples: Any = None
        if sound is not None:
            samples = container.add_stream(codecs[1], rate, layout="mono")
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuv420p"
            pictures.codec_context.time_base = Fraction(1, ticks)
            pictures.codec_context.gop_size = 1
            for level, time in zip(levels, times, strict=True):
                grey = np.full((32, 48, 3), level, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey)
                frame.pts, frame.time_base = round(time * ticks), Fraction(1, ticks)
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode())
        if samples:
            piece = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = rate, 0, Fraction(1, rate)
            container.mux(samples.encode(piece))
            container.mux(samples.encode())
    return file.getvalue()


def tones(loudness: Sequence[int], rate: int = RATE) -> np.ndarray:
    """A second of 440 Hz for each loudness, the largest sample."""
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    samples: np.ndarray = (np.array(loudness)[:, None] * tone).ravel().astype(np.int16)
    return samples


def noise(task: VideoTask, *counts: int) -> pa.Table:
    """Clips of noise as a task reads them, of some numbers of frames, and of each class in turn."""
    random, config, names, tables = np.random.default_rng(0), task.config, task.class_names, []
    for number, count in enumerate(counts):
        sound = random.integers(-9999, 9999, (count, config.samples() * config.sound), np.int16)
        shape = (count, config.frame_size, config.frame_size, 3)
        frames = random.integers(0, 256, shape, np.uint8)
        if config.model.frames == "xception":
            frames = random.random((count, FEATURES), np.float32)
        clip = Clip(frames, sound, has_sound=True, cropped=False)
        tables.append(clip_table.from_clip(clip, "file", names[number % len(names)], names))
    return pa.concat_tables(tables)
