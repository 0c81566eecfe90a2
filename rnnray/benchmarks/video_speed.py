"""Speed of decoding videos: PyAV alone in a process for each CPU, and our reader."""

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rnnray import devices
from rnnray.progress import say
from rnnray.training.rows import read
from rnnray.video.data.video_file import import_av
from rnnray.video.data.videos import open_videos
from rnnray.video.video_config import ClipConfig

_FILES, _DIFFERENT, _ROUNDS = 120, 4, 3
_SECONDS, _RATE, _WIDTH, _HEIGHT = 10, 25, 640, 360


def video() -> dict[str, float]:
    """Measure the frames/s of decoding H.264 of 640 x 360 pixels, ten seconds a file.

    PyAV alone decodes every frame and does nothing with it. Our reader decodes the same files
    through Ray Data, to clips of a frame a second in the object store.

    Returns:
        pyav, ours: decoded frames/s on all CPUs, in the best of three rounds.
    """
    cpus, context = devices.available_cpus(), multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {"pyav": [], "ours": []}
    with (
        tempfile.TemporaryDirectory() as temporary,
        ProcessPoolExecutor(cpus, mp_context=context) as pool,
    ):
        files = _written(Path(temporary))
        videos, config = open_videos(temporary), ClipConfig(sound=False)
        ways: dict[str, Callable[[Sequence[Path], str], Any]] = {
            "pyav": lambda some, _: list(pool.map(_decoded, some)),
            "ours": lambda _, split: read(videos.dataset(split, config), "videos"),
        }
        for way in ways.values():  # until all processes have started
            way(files[: 4 * cpus], "test")
        for _ in range(_ROUNDS):  # in turns, on a machine that others use too
            for name, way in ways.items():
                started = time.monotonic()
                way(files, "all")
                seconds[name].append(time.monotonic() - started)
    rates = {name: _FILES * _SECONDS * _RATE / min(its) for name, its in seconds.items()}
    say(f"PyAV alone in {cpus} processes: {rates['pyav']:,.0f} frames/s")
    say(f"our reader: {rates['ours']:,.0f} frames/s, {rates['ours'] / rates['pyav']:.2f} times")
    return rates


def _written(folder: Path) -> list[Path]:
    """Write the files into a folder of one class."""
    (folder / "film").mkdir()
    files = [folder / "film" / f"{number:03d}.mp4" for number in range(_FILES)]
    for number, file in enumerate(files):
        if number < _DIFFERENT:
            _film(file, number)
        else:
            shutil.copyfile(files[number % _DIFFERENT], file)
    say(f"{_FILES} files of {_SECONDS} s, {_WIDTH} x {_HEIGHT} pixels, {_RATE} frames a second")
    return files


def _film(file: Path, seed: int) -> None:
    """Write a video in which a picture of coloured squares moves over the screen."""
    av = import_av()
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (_HEIGHT // 8, _WIDTH // 8, 3), np.uint8)
    picture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("libx264", _RATE, {"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for number in range(_SECONDS * _RATE):
            moved = np.roll(picture, (number, 3 * number), axis=(0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved)))
        container.mux(stream.encode())


def _decoded(file: Path) -> int:
    av = import_av()
    with av.open(str(file)) as container:
        container.streams.video[0].thread_count = 1
        return sum(1 for _ in container.decode(video=0))
