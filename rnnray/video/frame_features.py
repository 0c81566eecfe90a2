"""The frames' network that is not trained: Xception's outputs, computed once, as Parquet."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data

from rnnray import devices, storage
from rnnray.batch_jobs import mapped_by
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.training import strategy
from rnnray.training.rows import Blocks
from rnnray.video.data import clip_table
from rnnray.video.video_config import ClipConfig, VideoConfig

# Frames of every batch, filled up if needed: one shape is compiled once, and no result depends on
# the other frames.
_FRAMES = 32


class Xception:
    """Xception, as Keras has it, trained on ImageNet.

    Args:
        size: width and height of a frame.
        threads: number of computing threads; 0 for one a CPU.

    Raises:
        UserError: its weights are not here and cannot be downloaded.
    """

    def __init__(self, size: int, *, threads: int = 0) -> None:
        strategy.configure_devices(threads)
        import tensorflow as tf  # noqa: PLC0415
        from keras.applications import xception  # noqa: PLC0415

        self._size = size
        network = _loaded(size)
        self._outputs = tf.function(
            lambda pixels: network(xception.preprocess_input(pixels), training=False),
            input_signature=[tf.TensorSpec([_FRAMES, size, size, 3], tf.float32)],
        )

    def features_of(self, clips: pa.Table) -> pa.Table:
        """Return a clip table with Xception's outputs in place of its frames."""
        shape = self._size, self._size, 3
        column = [
            self._features(frames).tobytes()
            for frames in clip_table.arrays(clips, "frames", shape, np.uint8)
        ]
        index = clips.schema.get_field_index("frames")
        return clips.set_column(index, "frames", pa.array(column, pa.large_binary()))

    def _features(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(frames), _FRAMES):
            some = frames[start : start + _FRAMES]
            whole = np.zeros((_FRAMES, *some.shape[1:]), np.float32)
            whole[: len(some)] = some
            parts.append(self._outputs(whole).numpy()[: len(some)])
        features: npt.NDArray[np.float32] = np.concatenate(parts)
        return features


def _loaded(size: int) -> Any:
    """Return Keras's network: [frames, size, size, 3] -> [frames, FEATURES]."""
    from keras.applications import Xception as Network  # noqa: PLC0415

    try:
        return Network(include_top=False, pooling="avg", input_shape=(size, size, 3))
    except Exception as error:  # Keras raises a plain Exception if a download fails
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the weights of Xception cannot be loaded ({reason}); connect this node to the "
            "network once, or copy Keras's file of them to ~/.keras/models"
        ) from error


class _Features:
    """Actor that computes the outputs of Xception; loads it with the first batch."""

    def __init__(self, size: int, actors: int) -> None:
        self._size, self._actors = size, actors

    @cached_property
    def _network(self) -> Xception:
        return Xception(self._size, threads=max(1, devices.node_cpus() // self._actors))

    def __call__(self, clips: pa.Table) -> pa.Table:
        return self._network.features_of(clips) if len(clips) else clips


def computed_once(
    clips: ray.data.Dataset,
    config: VideoConfig,
    identity: Mapping[str, Any],
    folder: str,
    split: str,
    *,
    gpu: bool | None = None,
) -> Blocks:
    """Return clips with Xception's outputs in place of their frames, from a file if it is there.

    Args:
        clips: clip tables, lazily decoded.
        config: how a video becomes a clip.
        identity: description of the videos as plain values; other videos get another file.
        folder: path or URI of the folder of such files.
        split: name of the split.
        gpu: see `batch_jobs.mapped_by`.

    Raises:
        UserError: the weights cannot be loaded, a video cannot be used, or the file not written.
    """
    known = identity, {name: getattr(config, name) for name in ClipConfig.model_fields}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    file = storage.join(folder, f"xception-{split}-{digest}.parquet")
    filesystem, path = storage.open_uri(file)
    if not filesystem.get_file_info(path).is_file:
        _write(mapped_by(clips, _Features, {"size": config.frame_size}, gpu=gpu), file, split)
    else:
        say(f"{split} videos: the outputs of Xception are in {file}")
    tables = [ray.put(table) for table in _tables(file)]
    return Blocks(tuple(tables), tuple(Blocks(tuple(tables), ()).of_each(len)))


def _write(clips: ray.data.Dataset, file: str, split: str) -> None:
    count, progress = 0, Every()
    with tempfile.TemporaryDirectory() as temporary:
        local = Path(temporary) / "features.parquet"
        with pq.ParquetWriter(local, clip_table.SCHEMA, write_page_checksum=True) as writer:
            for rows in clips.iter_batches(batch_size=None, batch_format="pyarrow"):
                writer.write_table(rows.cast(clip_table.SCHEMA))
                count += len(rows)
                if progress():
                    say(f"{split} videos: computed Xception's outputs of {count:,}")
        storage.put_file(local, file)


def _tables(file: str) -> Iterator[pa.Table]:
    filesystem, path = storage.open_uri(file)
    with filesystem.open_input_file(path) as stream:
        parquet = pq.ParquetFile(stream, page_checksum_verification=True)
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group)
            if len(table):
                yield table
