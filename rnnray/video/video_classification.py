"""Batch classification: videos in, the five most probable classes of each out, as Parquet."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnray import reach, storage
from rnnray.batch_jobs import mapped_by
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.training.task import TOP
from rnnray.video.data.training_clips import say_of_clips
from rnnray.video.data.videos import Videos
from rnnray.video.video_classifier import ClassifyingActor, read_checkpoint

SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("true_class", pa.string()),  # null if it lies in no folder of a class
        pa.field("classes", pa.list_(pa.string())),  # the most probable first
        pa.field("probabilities", pa.list_(pa.float32())),
    ]
)
_ABOUT = ("has_sound", "cropped")  # counted, not written


class _Predictor(ClassifyingActor):
    """Classifies the videos of batches."""

    def __call__(self, clips: pa.Table) -> pa.Table:
        order, probabilities = self.classifier.top_classes(clips, TOP)
        names = np.array(self.classifier.class_names, dtype=object)
        columns = {
            "file": clips["file"],
            "true_class": clips["true_class"],
            "classes": pa.array(names[order].tolist(), pa.list_(pa.string())),
            "probabilities": pa.array(probabilities.tolist(), pa.list_(pa.float32())),
        }
        return pa.table(columns | {name: clips[name] for name in _ABOUT})


def classify(
    checkpoint: str,
    videos: Videos,
    output: str,
    *,
    workers: int | None = None,
    gpu: bool | None = None,
) -> int:
    """Classify every video of a source, and write one Parquet file in the source's order.

    Args:
        checkpoint: path or URI of a checkpoint folder.
        videos: an opened source, labelled or not.
        output: path or URI of the file, which appears only when it is whole.
        workers: number of classifying processes; None: see `batch_jobs.mapped_by`.
        gpu: see there.

    Returns:
        The number of videos.

    Raises:
        UserError: not a checkpoint, a file that cannot be used, or an output that cannot be
            written.
    """
    config, class_names = read_checkpoint(checkpoint)
    folder, _, name = storage.absolute(output).rpartition("/")
    storage.check_writable(folder)
    predictions = mapped_by(
        videos.dataset("all", config, class_names),
        _Predictor,
        {"checkpoint": checkpoint},
        workers,
        gpu=gpu,
        **reach.reading(checkpoint, "the checkpoint's files"),
    )
    progress, about, count = Every(), [], 0
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / name
        with pq.ParquetWriter(file, SCHEMA, write_page_checksum=True) as writer:
            for rows in predictions.iter_batches(batch_size=None, batch_format="pyarrow"):
                writer.write_table(rows.select(SCHEMA.names).cast(SCHEMA))
                about.append(rows.select(_ABOUT))
                count += len(rows)
                if progress():
                    say(f"classified {count:,} videos")
        if count == 0:
            raise UserError(f"{videos.data}: no video can be used; nothing is written")
        storage.put_file(file, f"{folder}/{name}")
    say_of_clips(pa.concat_tables(about), config)
    return count
