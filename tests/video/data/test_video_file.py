"""Decoding of video files: which pictures and which sound a clip has, whatever the file."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video_files import RATE, tones, video

from rnnray.errors import UserError
from rnnray.video.data import video_file
from rnnray.video.data.video_file import BadVideo, Clip
from rnnray.video.video_config import ClipConfig


def read(content: bytes, **config: Any) -> Clip:
    return video_file.read(io.BytesIO(content), "x", ClipConfig(frame_size=16, **config))


def levels(clip: Clip) -> list[int]:
    """The grey of each frame, to the next ten: codecs lose a little."""
    assert clip.frames.shape[1:] == (16, 16, 3)
    means = clip.frames.mean(axis=(1, 2, 3))
    return [int(10 * round(each / 10)) for each in means]


def loudness(clip: Clip) -> list[int]:
    """The loudness of the middle of each frame's sound, in thousands."""
    samples = clip.sound.shape[1]
    middle = clip.sound[:, samples // 4 : -samples // 4].astype(int)
    return np.abs(middle).max(axis=1).round(-3).astype(int).tolist()  # type: ignore[no-any-return]


def test_each_frame_is_the_picture_shown_at_its_second() -> None:
    assert levels(read(video([40, 60, 80, 100, 120, 140]))) == [40, 80, 120]


def test_the_sound_of_a_frame_lasts_until_the_next_one() -> None:
    assert ClipConfig(frames_per_second=3, sound_rate=1000).samples() == 333


def test_a_variable_frame_rate_is_read_by_the_timestamps() -> None:
    times = [0, 0.1, 0.2, 1.5, 2.0, 3.7, 4.2]
    content = video([40, 60, 80, 100, 120, 140, 160], times)
    assert levels(read(content)) == [40, 80, 120, 120, 140]
    assert levels(read(content, frames_per_second=2, max_frames=6)) == [40, 80, 80, 100, 120, 120]


def test_a_video_of_a_second_or_a_picture_is_a_clip_of_one_frame() -> None:
    assert levels(read(video([40, 60]))) == [40]
    assert levels(read(video([40]))) == [40]


def test_a_long_video_is_cropped_and_one_that_fits_is_not() -> None:
    assert levels(clip := read(video([40, 60, 80, 100, 120, 140]), max_frames=2)) == [40, 80]
    assert clip.cropped
    assert not read(video([40, 60, 80, 100]), max_frames=2).cropped


def test_the_sound_of_a_frame_is_that_of_its_second() -> None:
    sound = tones([2000, 8000, 4000, 16000], rate=24_000)
    clip = read(video([40] * 6, sound=sound, rate=24_000), sound_rate=4000)
    assert clip.has_sound
    assert clip.sound.shape == (3, 4000)
    assert loudness(clip) == [2000, 8000, 4000]
    halves = read(video([40] * 6, sound=sound, rate=24_000), frames_per_second=2)
    assert halves.sound.shape == (6, RATE // 2)
    assert loudness(halves) == [2000, 2000, 8000, 8000, 4000, 4000]


def test_without_a_sound_track_or_after_its_end_there_is_silence() -> None:
    clip = read(video([40] * 4))
    assert not clip.has_sound
    assert clip.sound.shape == (2, RATE)
    assert not clip.sound.any()
    assert loudness(read(video([40] * 6, sound=tones([4000])))) == [4000, 0, 0]
    assert read(video([40] * 4, sound=tones([4000])), sound=False).sound.shape == (2, 0)


@pytest.mark.parametrize(
    ("kind", "codecs"),
    [
        ("mp4", ("libx264", "aac")),
        ("mov", ("mpeg4", "aac")),
        ("matroska", ("mpeg4", "aac")),
        ("webm", ("libvpx", "libopus")),
        ("avi", ("mpeg4", "pcm_s16le")),
    ],
)
def test_every_container_is_known_by_its_content(kind: str, codecs: tuple[str, str]) -> None:
    rate = 48_000 if kind == "webm" else 24_000
    sound = tones([4000, 8000], rate)
    # Two pictures a second by the rate of the file: AVI has no timestamps.
    ticks = 2 if kind == "avi" else 1000
    content = video(
        [40, 60, 80, 100], sound=sound, kind=kind, codecs=codecs, rate=rate, ticks=ticks
    )
    assert video_file.may_be_video("no ending", content[:12])
    clip = read(content)
    assert levels(clip) == [40, 80]
    assert loudness(clip) == [4000, 8000]


def test_a_picture_is_turned_as_the_file_says() -> None:
    """As phones do, which always record one way."""
    content = bytearray(video([40, 60]))
    clip = read(bytes(content))
    matrix = content.find(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, *[0] * 4, 1 << 30)
    turned = read(bytes(content))
    np.testing.assert_array_equal(turned.frames[0], np.rot90(clip.frames[0], -1))


@pytest.mark.parametrize(
    "content",
    [
        video([40] * 9)[:600],
        b"\0\0\0\x20ftypisom" + bytes(2000),
        b"",
        video(sound=tones([4000])),
    ],
    ids=["cut", "zeros", "empty", "sound alone"],
)
def test_a_broken_file_is_named_with_what_to_do(content: bytes) -> None:
    with pytest.raises(BadVideo, match=r"x: cannot be used as a video \(.+\); replace or remove"):
        read(content)


def test_no_file_makes_ffmpeg_open_another_one(tmp_path: Path) -> None:
    (tmp_path / "private.mp4").write_bytes(video([40] * 4))
    path = tmp_path / "private.mp4"
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{path}'\n",
    ):
        with pytest.raises(BadVideo):
            read(text.encode())


def test_without_pyav_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "rnnray\[video\]"'):
        read(b"")
