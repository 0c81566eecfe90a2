"""Each process sees the GPU that was reserved for it, and no other; the GPUs are pretended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import REPOSITORY

pytestmark = pytest.mark.faults  # minutes

# Python imports this in every process, Ray's workers too.
RECORDER = """
import os, sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "rnnray.training.loop"):
            with open("/proc/self/cmdline") as title, open({file!r}, "a") as file:
                kind = title.read().split("\\0")[0].split("(")[0].split(".")[0].strip()
                visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
                file.write("\\t".join([str(os.getpid()), kind, visible]) + "\\n")

sys.meta_path.insert(0, Recorder())
"""
# Imports TensorFlow with the class of its trainer, and never computes.
CONTROLLER = ["ray::TrainController", "all"]


def test_every_process_sees_what_was_reserved_for_it_and_no_other_gpu(tmp_path: Path) -> None:
    (tmp_path / "recorded").write_text("")
    (tmp_path / "sitecustomize.py").write_text(RECORDER.format(file=str(tmp_path / "recorded")))
    paths = [tmp_path, REPOSITORY, REPOSITORY / "tests", REPOSITORY / "tests/cluster"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "pretended_gpus.py", tmp_path],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    judges = [note for note in seen["gpu"] if note[0] == "ray::MapWorker"]
    assert judges
    assert {visible for _, visible in judges} <= {"0", "1"}
    reader = ["ray::ReadDrawings", ""]  # of TFRecords, which TensorFlow parses
    assert [note for note in seen["gpu"] if note not in judges] == [
        ["ray::RayTrainWorker", "0"],
        ["ray::RayTrainWorker", "1"],
        reader,
        CONTROLLER,
    ]
    # A reader's process may have imported it in the job before.
    assert [note for note in seen["no_gpu"] if note != reader] == [
        ["ray::MapWorker", ""],
        ["ray::RayTrainWorker", ""],
        CONTROLLER,
    ]
    assert seen["prepare"] == [["ray::Write", ""]]
    assert seen["sweep"] == [["ray::ImplicitFunc", ""]]
    assert seen["generate"] == [["ray::MapWorker", ""]]
    # Two workers had a GPU each that TensorFlow did not see.
    assert done.stdout.count("trains on a CPU: it has a GPU, and TensorFlow sees none") == 2
