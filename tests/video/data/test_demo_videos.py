"""Generated videos: the classes differ in the order of frames and tones, and in nothing else."""

import io

import numpy as np
import pytest

from rnnray.video.data import demo_videos, video_file
from rnnray.video.data.video_file import Clip
from rnnray.video.video_config import ClipConfig


@pytest.fixture(scope="module")
def clips() -> dict[str, list[Clip]]:
    found: dict[str, list[Clip]] = {name: [] for name in demo_videos.CLASS_NAMES}
    for number in range(12):
        content = io.BytesIO(demo_videos.content(number))
        found[demo_videos.name_of(number)[0]].append(video_file.read(content, "x", ClipConfig()))
    return found


def turns(clip: Clip) -> list[bool]:
    """Whether the ball goes clockwise from each frame to the next, as a person sees it."""
    frames = clip.frames.astype(float)
    far = np.abs(frames - frames[:, :1, :1]).sum(axis=3)  # from the colour of the corner
    row, column = np.mgrid[:64, :64] - 32
    total = far.sum(axis=(1, 2))
    x, y = (far * column).sum(axis=(1, 2)) / total, (far * row).sum(axis=(1, 2)) / total
    # y is downwards: a positive cross product is clockwise.
    return (x[:-1] * y[1:] - y[:-1] * x[1:] > 0).tolist()  # type: ignore[no-any-return]


def pitches(clip: Clip) -> list[int]:
    """The pitch of each frame's sound, in Hz."""
    return np.abs(np.fft.rfft(clip.sound)).argmax(axis=1).tolist()  # type: ignore[no-any-return]


def test_the_order_of_frames_and_tones_is_that_of_the_class(clips: dict[str, list[Clip]]) -> None:
    for name, its in clips.items():
        turn, _, tone = name.rpartition("-")
        for clip in its:
            assert 6 <= len(clip.frames) <= 10
            assert set(turns(clip)) == {turn == "clockwise"}
            assert pitches(clip) == sorted(pitches(clip), reverse=tone == "falling")


def test_no_second_has_traces_of_the_one_before(clips: dict[str, list[Clip]]) -> None:
    """Those would tell a rising tone from a falling one without any order."""
    for its in clips.values():
        for clip in its:
            edges = np.concatenate([clip.sound[:, :800], clip.sound[:, -800:]], axis=1)
            assert np.abs(edges.astype(int)).max() < 0.01 * np.abs(clip.sound.astype(int)).max()


def test_a_video_depends_on_its_number_and_the_seed_alone() -> None:
    assert demo_videos.content(5) == demo_videos.content(5)
    others = {demo_videos.content(9), demo_videos.content(5, seed=1)}
    assert len({demo_videos.content(5), *others}) == 3
