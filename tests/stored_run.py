"""A run's folder as Ray Train and the loop leave it, without training."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rnnray.ray_private import CHECKPOINT_LIST
from rnnray.training.checkpoints import MODEL, OPTIMIZER, POSITION, Position


def store(folder: Path, metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Write whole checkpoints and their list, the first one first.

    Args:
        folder: of the run.
        metrics: from names of checkpoints to what was reported with them.
    """
    for name in metrics:
        checkpoint = folder / name
        checkpoint.mkdir(parents=True, exist_ok=True)
        for file in (MODEL, OPTIMIZER):
            with (checkpoint / file).open("wb") as stream:
                np.savez(stream, weights=np.arange(1000.0))
        (checkpoint / POSITION).write_text(json.dumps(asdict(Position())))
    # Ray Train sorts them by their score.
    entries = [
        {"version": 0, "checkpoint_dir_name": name, "metrics": dict(each)}
        for name, each in metrics.items()
    ]
    order = sorted(range(len(entries)), key=lambda index: sum(entries[index]["metrics"].values()))
    values = {
        "checkpoint_results": [entries[index] for index in order],
        "checkpoint_report_indices": order,
        "latest_checkpoint_result": entries[-1],
        "current_report_index": len(entries),
    }
    (folder / CHECKPOINT_LIST).write_text(json.dumps(values))


def listed(folder: Path) -> tuple[set[str], str]:
    """The names of the listed checkpoints, and of the one that Ray Train goes on from."""
    values = json.loads((folder / CHECKPOINT_LIST).read_text())
    names = {entry["checkpoint_dir_name"] for entry in values["checkpoint_results"]}
    assert len(values["checkpoint_report_indices"]) == len(names)
    return names, values["latest_checkpoint_result"]["checkpoint_dir_name"]
