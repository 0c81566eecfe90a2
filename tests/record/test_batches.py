"""The record of the order in which rows are trained on: what a seed gives."""

import numpy as np
import pyarrow as pa
from recorded import same_values

from rnnray.training.batches import epoch_batches
from rnnray.training.rows import Blocks


def test_batches() -> None:
    ends = np.cumsum([7, 30, 1, 12, 25, 25])
    tables = [pa.table({"id": np.arange(end)}) for end in np.diff(ends, prepend=0)]
    starts = ends - [len(each) for each in tables]
    blocks = Blocks.of(
        pa.table({"id": each["id"].to_numpy() + start})
        for each, start in zip(tables, starts, strict=True)
    )
    orders = {
        f"seed {seed}, epoch {epoch}, worker {rank} of 2": [
            " ".join(map(str, share.rows["id"].to_pylist()[: share.counted]))
            for share in epoch_batches(
                blocks, batch_rows=16, pool_rows=40, seed=(seed, epoch), rank=rank, workers=2
            )
        ]
        for seed, epoch in ((42, 0), (42, 1), (7, 0))
        for rank in range(2)
    }
    same_values("batches.json", orders)
