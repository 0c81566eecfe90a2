"""The options of the video classifier: their defaults, and what is refused."""

import pytest
from pydantic import ValidationError

from rnnray.video.video_config import PRESETS, ClipConfig, VideoConfig, VideoModelConfig


def test_presets_are_valid_and_differ_in_the_network_of_the_frames() -> None:
    configs = {name: make() for name, make in PRESETS.items()}
    assert {name: each.model.frames for name, each in configs.items()} == {
        "strong": "cnn",
        "xception": "xception",
    }
    for each in configs.values():
        assert VideoConfig.model_validate(each.model_dump()) == each


def test_xception_needs_frames_that_its_convolutions_leave_something_of() -> None:
    with pytest.raises(ValidationError, match="frame_size of 71 at least"):
        VideoConfig(frame_size=70, model=VideoModelConfig(frames="xception"))


def test_the_sound_of_a_frame_lasts_until_the_next_one() -> None:
    assert ClipConfig(frames_per_second=3, sound_rate=1000).samples() == 333
