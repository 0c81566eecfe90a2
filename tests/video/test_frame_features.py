"""Xception's outputs, computed once and kept; a network with random weights stands for it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
from lazily import keras
from video_files import video

from rnnray.errors import UserError
from rnnray.video import frame_features
from rnnray.video.data import clip_table, video_file
from rnnray.video.frame_features import Xception
from rnnray.video.video_config import FEATURES, VideoConfig, VideoModelConfig

CONFIG = VideoConfig(frame_size=71, sound=False, model=VideoModelConfig(frames="xception"))


def clips(*counts: int) -> pa.Table:
    tables = []
    for count in counts:
        content = io.BytesIO(video([40 + 20 * number for number in range(2 * count)]))
        clip = video_file.read(content, "x", CONFIG)
        tables.append(clip_table.from_clip(clip, f"{count}.mp4", "cat", ("cat",)))
    return pa.concat_tables(tables)


def stand_in(size: int) -> Any:
    """As many numbers of each frame as Xception has, with the frame's mean as the first one."""
    frames = keras.layers.Input((size, size, 3))
    mean = keras.ops.mean(frames, axis=(1, 2, 3))[:, None]
    return keras.Model(frames, keras.ops.tile(mean, (1, FEATURES)))


def test_each_frame_has_its_outputs_whatever_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_features, "_loaded", stand_in)
    network = Xception(71)
    rows = network.features_of(clips(1, 3))
    first, second = clip_table.arrays(rows, "frames", (FEATURES,), np.float32)
    assert first.shape == (1, FEATURES)
    # From -1 for black to 1 for white, as Xception was trained.
    np.testing.assert_allclose(second[:, 0], np.array([40, 80, 120]) / 127.5 - 1, atol=0.03)
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.usefixtures("not_compiled")
def test_the_network_is_that_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = keras.applications.Xception
    monkeypatch.setattr(
        "keras.applications.Xception", lambda **options: whole(weights=None, **options)
    )
    rows = Xception(71).features_of(clips(2))
    (features,) = clip_table.arrays(rows, "frames", (FEATURES,), np.float32)
    assert features.shape == (2, FEATURES)
    assert np.isfinite(features).all()


def test_without_the_weights_a_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise Exception("URL fetch failure on https://storage.googleapis.com/x: None")

    monkeypatch.setattr("keras.applications.Xception", fail)
    with pytest.raises(UserError, match=r"cannot be loaded \(URL fetch failure.*connect this node"):
        Xception(71)


@pytest.mark.usefixtures("ray_cluster")
def test_the_outputs_are_computed_once_and_kept_as_parquet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Lengths:
        """Gives each frame the number of its clip's frames."""

        def __init__(self, size: int, *, threads: int) -> None:
            pass

        def features_of(self, clips: pa.Table) -> pa.Table:
            counts = clips["count"].to_pylist()
            features = [np.full((n, FEATURES), n, np.float32).tobytes() for n in counts]
            return clips.set_column(3, "frames", pa.array(features, pa.large_binary()))

    monkeypatch.setattr(frame_features, "Xception", Lengths)
    identity = {"file_bytes": {"1.mp4": 9}}

    def computed(rows: pa.Table, identity: dict[str, Any]) -> list[int]:
        blocks = frame_features.computed_once(
            ray.data.from_arrow(rows), CONFIG, identity, str(tmp_path), "train"
        )
        tables = [blocks.table(index) for index in range(len(blocks.tables))]
        arrays = clip_table.arrays(pa.concat_tables(tables), "frames", (FEATURES,), np.float32)
        return [int(each[0, 0]) for each in arrays]

    assert computed(clips(1, 3), identity) == [1, 3]
    (file,) = tmp_path.glob("xception-train-*.parquet")
    assert pq.read_table(file)["file"].to_pylist() == ["1.mp4", "3.mp4"]
    # From the file: what the clips would give now is not looked at.
    assert computed(clips(2), identity) == [1, 3]
    assert computed(clips(2), identity | {"file_bytes": {"2.mp4": 9}}) == [2]
