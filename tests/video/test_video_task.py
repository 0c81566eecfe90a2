"""The video classifier as a task: its network, what padding and order do to it, what it learns."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lazily import Lazily, keras
from video_files import noise

from rnnray.training.rows import Blocks
from rnnray.training.strategy import create_strategy
from rnnray.training.worker import Worker
from rnnray.video.data import clip_table, demo_videos, video_file
from rnnray.video.video_config import VideoConfig, VideoModelConfig, strong
from rnnray.video.video_task import VideoTask

loops = Lazily("rnnray.training.loop")
NAMES = ("cat", "dog", "eel")


def task_of(top: dict[str, Any] | None = None, **model: Any) -> VideoTask:
    sizes = {"filters": (4, 4), "frame_units": 8, "sound_filters": (4, 4), "units": 8}
    clip = {"frame_size": 16, "max_frames": 5, "sound_rate": 1000}
    config = VideoConfig(**(clip | (top or {})), model=VideoModelConfig(**(sizes | model)))
    return VideoTask(config, NAMES)


@pytest.mark.parametrize(
    ("frames", "sound", "recurrent"),
    [  # every pair of options
        *(("cnn", True, "gru"), ("cnn", False, "lstm"), ("cnn", True, "mean")),
        *(("xception", False, "gru"), ("xception", True, "lstm"), ("xception", False, "mean")),
    ],
)
def test_a_saved_network_reads_a_batch_as_before(
    frames: str, sound: bool, recurrent: str, tmp_path: Path
) -> None:
    size = 71 if frames == "xception" else 16
    task = task_of({"sound": sound, "frame_size": size}, frames=frames, recurrent=recurrent)
    inputs, targets, weights = task.batch(noise(task, 3, 5))
    assert (targets.tolist(), weights.tolist()) == ([0, 1], [1.0, 1.0])
    model = task.build_model(unroll=True)
    logits = model(inputs)
    assert logits.shape == (2, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(inputs), logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("recurrent", ["gru", "mean"])
def test_what_comes_after_a_clip_has_no_effect(recurrent: str) -> None:
    task = task_of(recurrent=recurrent)
    model = task.build_model(unroll=True)
    frames, shown, sound = task.batch(noise(task, 3, 5))[0]
    assert shown.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    logits = np.asarray(model((frames, shown, sound)))
    frames[0, 3:], sound[0, 3:] = 99, 999
    np.testing.assert_allclose(model((frames, shown, sound)), logits, rtol=1e-5, atol=1e-6)


def test_a_recurrent_network_sees_the_order_and_a_mean_does_not() -> None:
    for recurrent in ("gru", "mean"):
        task = task_of(recurrent=recurrent)
        model = task.build_model(unroll=True)
        frames, shown, sound = task.batch(noise(task, 5))[0]
        back = frames[:, ::-1], shown, sound[:, ::-1]
        same = np.allclose(model((frames, shown, sound)), model(back), rtol=1e-4, atol=1e-6)
        assert same == (recurrent == "mean")


@pytest.fixture(scope="module")
def generated() -> list[pa.Table]:
    """480 generated videos as small clips."""
    with pytest.MonkeyPatch.context() as patch:
        # One picture a second is all that is read, and low rates take less time to encode.
        patch.setattr(demo_videos, "_FRAMES_A_SECOND", 1)
        patch.setattr(demo_videos, "_RATE", 8000)
        config, tables = small("gru"), []
        for number in range(480):
            file = io.BytesIO(demo_videos.content(number))
            clip = video_file.read(file, "x", config)
            tables.append(
                clip_table.from_clip(
                    clip, "x", demo_videos.name_of(number)[0], demo_videos.CLASS_NAMES
                )
            )
    return tables


def small(recurrent: str) -> VideoConfig:
    config = strong()
    sizes = {"filters": (16, 32, 48), "sound_filters": (16, 32), "recurrent": recurrent}
    model = config.model.model_copy(update=sizes)
    return config.model_copy(update={"frame_size": 32, "model": model, "epochs": 8})


@pytest.mark.long
def test_the_order_of_frames_is_learnt_where_a_bag_of_frames_stays_at_chance(
    generated: list[pa.Table],
) -> None:
    reached = {}
    for recurrent in ("gru", "mean"):
        training, validation = Blocks.of(generated[:360]), Blocks.of(generated[360:])
        worker = Worker(0, 1, training, validation, lambda _: None, lambda *_: None)
        task = VideoTask(small(recurrent), demo_videos.CLASS_NAMES)
        loop = loops.TrainingLoop(task, task.config, worker, create_strategy(1))
        reached[recurrent] = loop.run()[-1]["validation_top1"]
    assert reached["gru"] > 0.9
    assert reached["mean"] < 0.42  # a quarter, four standard deviations of 120 videos at most
