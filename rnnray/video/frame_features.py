"""The frames' network that is not trained: Xception's outputs, computed once, as Parquet."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data

from rnnray import batch_jobs, storage
from rnnray.errors import UserError
from rnnray.predictions import Floats, outputs_of
from rnnray.progress import say
from rnnray.training import strategy
from rnnray.training.rows import Blocks
from rnnray.video.data import clip_table
from rnnray.video.video_config import FEATURES, ClipConfig, VideoConfig

CLIPS = 32
"""Number of clips that an actor takes at once."""
_FRAMES = 32  # of every batch; see `predictions`


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
            autograph=False,
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

    def _features(self, frames: npt.NDArray[np.uint8]) -> Floats:
        batches = (
            (frames[i : i + _FRAMES].astype(np.float32),) for i in range(0, len(frames), _FRAMES)
        )
        return outputs_of(self._outputs, batches, _FRAMES, FEATURES)


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


def _features(network: Xception, clips: pa.Table) -> pa.Table:
    return network.features_of(clips) if len(clips) else clips


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
        gpu: see `batch_jobs.mapped`.

    Raises:
        UserError: the weights cannot be loaded, a video cannot be used, or the file not written.
    """
    known = identity, {name: getattr(config, name) for name in ClipConfig.model_fields}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    file = storage.join(folder, f"xception-{split}-{digest}.parquet")
    filesystem, path = storage.open_uri(file)
    if not filesystem.get_file_info(path).is_file:
        load = partial(Xception, config.frame_size)
        features = batch_jobs.mapped(clips, load, _features, gpu=gpu, batch_rows=CLIPS)
        batch_jobs.write_parquet(
            features,
            clip_table.SCHEMA,
            file,
            progress=f"{split} videos: computed Xception's outputs of {{:,}}",
        )
    else:
        say(f"{split} videos: the outputs of Xception are in {file}")
    tables = [ray.put(table) for table in _tables(file)]
    return Blocks(tuple(tables), tuple(Blocks(tuple(tables), ()).of_each(len)))


def _tables(file: str) -> Iterator[pa.Table]:
    filesystem, path = storage.open_uri(file)
    with filesystem.open_input_file(path) as stream:
        parquet = pq.ParquetFile(stream, page_checksum_verification=True)
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group)
            if len(table):
                yield table
