"""Clips as a table: one row a video, with its frames and their sound as bytes.

file         string, path of the file
true_class   string, null if unknown
class_index  int64 in the classifier's list, -1 if unknown
frames       large_binary, uint8 [count, size, size, 3]; or after `frame_features`, float32 [count,
             2048]
sound        large_binary, int16 [count, samples]
count        int64, number of frames
has_sound    bool
cropped      bool
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.video.data.video_file import Clip

UNKNOWN_CLASS = -1
SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("true_class", pa.string()),
        ("class_index", pa.int64()),
        ("frames", pa.large_binary()),
        ("sound", pa.large_binary()),
        ("count", pa.int64()),
        ("has_sound", pa.bool_()),
        ("cropped", pa.bool_()),
    ]
)


def from_clip(
    clip: Clip, file: str, true_class: str | None, class_names: Sequence[str]
) -> pa.Table:
    """Return the table of one clip.

    Args:
        clip: the clip.
        file: path of its file.
        true_class: name of its class; None if unknown.
        class_names: the classifier's list.
    """
    known = true_class in class_names
    row = {
        "file": file,
        "true_class": true_class,
        "class_index": class_names.index(true_class) if known else UNKNOWN_CLASS,
        "frames": clip.frames.tobytes(),
        "sound": clip.sound.tobytes(),
        "count": len(clip.frames),
        "has_sound": clip.has_sound,
        "cropped": clip.cropped,
    }
    return pa.Table.from_pylist([row], schema=SCHEMA)


def arrays(rows: pa.Table, name: str, shape: tuple[int, ...], dtype: Any) -> list[Any]:
    """Return each clip's frames or sound: views [count, *shape] of a type.

    Args:
        rows: a clip table.
        name: frames or sound.
        shape: shape of one frame or of its sound.
        dtype: type of the numbers.
    """
    return [
        np.frombuffer(each.as_buffer(), dtype).reshape(count, *shape)
        for each, count in zip(rows[name], rows["count"].to_pylist(), strict=True)
    ]


def padded(
    rows: pa.Table, name: str, frames: int, shape: tuple[int, ...], dtype: Any
) -> npt.NDArray[Any]:
    """Return all clips' frames or sound, with zeros after the end of each: [rows, frames, *shape].

    Args:
        rows: a clip table.
        name: frames or sound.
        frames: number of frames, which no clip has more of.
        shape: shape of one frame or of its sound.
        dtype: type of the numbers.
    """
    result = np.zeros((len(rows), frames, *shape), dtype)
    for index, array in enumerate(arrays(rows, name, shape, dtype)):
        result[index, : len(array)] = array
    return result


def shown(rows: pa.Table, frames: int) -> npt.NDArray[np.bool_]:
    """Return which frames of padded clips are their own: bool [rows, frames]."""
    counts = rows["count"].to_numpy()
    own: npt.NDArray[np.bool_] = np.arange(frames) < counts[:, None]
    return own
