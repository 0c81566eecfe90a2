"""A job of the tests' size: how it is run, and how it ended."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rnnray.sketch.sketch_config import AugmentationConfig

REPOSITORY = Path(__file__).parents[2]
# A model that trains in seconds, and a source with 301 drawings each to validate and test on:
# a number that neither two nor three workers can share equally.
SOURCE = "demo:3010"
HELD_OUT = 301
TINY = {
    "model": {
        "features": [],
        "pooling": [],
        "bitmap": {"size": 0},
        "augmentation": dict.fromkeys(AugmentationConfig.model_fields, 0),
        "filters": [8, 8, 8],
        "strides": [2, 2, 2],
        "units": 8,
        "layers": 1,
        "bidirectional": False,
        "mask_padding": True,
        "same_padding": True,
        "normalization_momentum": 0.9,
    },
    "epochs": 1,
    "global_batch_size": 64,
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The last line of stdout."""
        result: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return result

    def failed_with(self, code: int = 1) -> str:
        """The one line of a job that failed as it should."""
        assert self.code == code, self.out + self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert "unexpected" not in lines[0]
        return lines[0]


RunJob = Callable[..., Ended]


@dataclass(frozen=True)
class Trained:
    """A finished run of jobs/train_sketch.py."""

    ended: Ended
    storage: Path
    """Its --storage-path; its --name is "shared"."""
    config: Path
    """Its --config."""
    exported: Path
    """Its --export."""
    damaged: Path
    """The file of its data that has a damaged record,"""
    offset: int
    """and the byte at which that begins."""

    @property
    def checkpoint(self) -> Path:
        """Its best checkpoint."""
        return Path(self.ended.result["checkpoint"])


def names_of_job(name: str) -> dict[str, Any]:
    """What a file of jobs/ defines; the job itself does not run.

    The module has the name that it has when the job runs: `inspect` remembers a file's first name
    for the whole process, and under another one pydantic finds no docstrings for --help.
    """
    with patch("rnnray.job.run"):
        return runpy.run_path(str(REPOSITORY / "jobs" / f"{name}.py"), run_name="__main__")


def run_file(name: str, *arguments: str, address: str, timeout: float = 400) -> Ended:
    """Run a file of jobs/ in a process of its own, on the Ray cluster of an address."""
    environment = os.environ | {"RAY_ADDRESS": address}
    # What tests/conftest.py sets for its own process would let messages of TensorFlow through.
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    done = subprocess.run(
        [sys.executable, f"jobs/{name}.py", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
