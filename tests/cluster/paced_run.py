"""A run of the toy on the nodes of a cluster, slow until a file `over` is in its folder.

Usage: paced_run.py FOLDER STORAGE; run by test_random_faults.py on the head. The last line of
standard output is the history of the epochs.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ray
import toy
import toy_faults
from toy_faults import Traced

from rnnray.training import driver
from rnnray.training.rows import Blocks, TrainingData
from rnnray.training.training_options import OptimizerConfig, RunOptions, TrainingConfig

ROWS, BATCH, EPOCHS = 20_000, 20, 12
STEPS = ROWS // BATCH


@dataclass(frozen=True)
class Paced(Traced):
    def fault(self, rank: int, batches: int) -> None:
        if not (Path(self.folder) / "over").exists():
            time.sleep(0.05)


def main() -> None:
    """See the module."""
    folder, storage = sys.argv[1:]
    ray.init(log_to_driver=False)
    for module in (toy, toy_faults, sys.modules["__main__"]):
        ray.cloudpickle.register_pickle_by_value(module)
    rows, held_out = toy.rows(ROWS), toy.rows(500, seed=1)
    run = driver.train(
        Paced(dropout=0.2, folder=folder, seconds=0.0),
        TrainingConfig(
            optimizer=OptimizerConfig(name="adam", learning_rate=0.003),
            epochs=EPOCHS,
            global_batch_size=BATCH,
            shuffle_rows=1000,
            seed=5,
        ),
        RunOptions(
            storage_path=storage,
            name="toy",
            workers=2,
            checkpoint_minutes=0.1,
            max_failures=1000,
            stuck_times=20,
            stuck_minutes=0.2,
        ),
        TrainingData(
            Blocks.of(rows.slice(i, 500) for i in range(0, ROWS, 500)), Blocks.of([held_out])
        ),
    )
    print(json.dumps(run.history))  # noqa: T201


if __name__ == "__main__":
    main()
