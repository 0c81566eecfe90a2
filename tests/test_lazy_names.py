"""The names that rnnray.training and rnnray.tuning have: all are there, and none is paid for."""

import importlib
import subprocess
import sys
from typing import Any

import pytest

PACKAGES = ("rnnray.training", "rnnray.tuning")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_documented_name_is_there(package: str) -> None:
    module: Any = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(module._SOURCES)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'trian'"):
        _ = module.trian


def test_a_configuration_of_one_s_own_waits_for_neither_ray_nor_tensorflow() -> None:
    code = """
import sys
from rnnray import job, training, tuning
class Config(training.TrainingConfig, tuning.SweepOptions, training.RunOptions): ...
class Task(training.Task): ...
print(sorted({"ray", "tensorflow", "keras", "pandas", "matplotlib", "h5py"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
