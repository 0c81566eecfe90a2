"""The file that OWN_NETWORK.md shows: on one worker, on two, killed and resumed, and in a sweep."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tiny import REPOSITORY

from rnnray import training
from rnnray.ray_private import CHECKPOINT_LIST

EPOCHS, BATCH = 3, 250


@pytest.fixture(scope="module")
def own_network(ray_cluster: None) -> Any:
    """The example as a module, whose classes the workers of the tests' cluster get by value."""
    import ray  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "examples"))
        module = importlib.import_module("own_network")
    ray.cloudpickle.register_pickle_by_value(module)
    return module


@pytest.fixture(scope="module")
def run(own_network: Any, tmp_path_factory: pytest.TempPathFactory) -> training.TrainedRun:
    """A run on one worker, from Python."""
    network = own_network.NetworkConfig(epochs=EPOCHS, global_batch_size=BATCH)
    options = training.RunOptions(storage_path=str(tmp_path_factory.mktemp("runs")))
    task = own_network.Subtraction(network)
    return training.train(task, network, options, own_network.data(network))


def start(name: str, *arguments: str) -> "subprocess.Popen[str]":
    import ray  # noqa: PLC0415

    return subprocess.Popen(
        [sys.executable, f"examples/{name}.py", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[str, dict[str, Any]]:
    """The output of a process that succeeds, and its last line."""
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return out, result


def weights(checkpoint: str) -> np.ndarray:
    model = training.load_model(Path(checkpoint))
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])


def test_train_returns_the_run_and_its_metrics(run: training.TrainedRun) -> None:
    assert [metrics["epoch"] for metrics in run.history] == [1, 2, 3]
    best = min(run.history, key=lambda metrics: metrics["validation_error"])
    assert run.metrics["validation_error"] == best["validation_error"]
    assert Path(run.best).name == f"epoch-{best['epoch']:04.0f}"
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_on_two_workers_killed_and_resumed_it_computes_the_same(
    run: training.TrainedRun, tmp_path: Path
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(f"epochs: {EPOCHS}\nglobal_batch_size: {BATCH}\n")
    arguments = (
        *("--config", str(file), "--workers", "2", "--checkpoint-minutes", "0.001"),
        *("--storage-path", str(tmp_path), "--name", "two"),
    )
    process = start("own_network", *arguments)
    deadline = time.monotonic() + 300
    listed = tmp_path / "two" / CHECKPOINT_LIST
    while not (listed.exists() and "epoch-" in listed.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out, result = ended(start("own_network", *arguments))
    assert "resumed in epoch" in out
    assert "2 worker(s)" in out
    assert result["validation_error"] == pytest.approx(run.metrics["validation_error"], rel=1e-3)
    (curves,) = Path(result["pictures"]).iterdir()
    assert curves.name == "learning_curves.png"
    # Adam passes on the last bits of sums at full size; a wrong loop differs by 0.1.
    assert np.abs(weights(result["checkpoint"]) - weights(run.best)).max() < 5e-3


def test_a_sweep_finds_a_configuration_that_the_file_takes(
    own_network: Any, tmp_path: Path
) -> None:
    _, result = ended(
        start(
            "own_sweep",
            *("--epochs", "1", "--global-batch-size", str(BATCH), "--samples", "2"),
            *("--scheduler", "none", "--storage-path", str(tmp_path)),
        )
    )
    best = yaml.safe_load(Path(result["best"]).read_text())
    assert own_network.NetworkConfig.model_validate(best).units in (16, 32, 64)
