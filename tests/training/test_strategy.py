"""TensorFlow's GPUs and threads in a process; the GPUs are pretended."""

import importlib
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lazily import keras, tf

from rnnray import devices
from rnnray.errors import UserError
from rnnray.training import strategy

CARDS = [SimpleNamespace(name=f"/physical_device:GPU:{i}") for i in range(3)]


@pytest.fixture
def visible(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What TensorFlow is let see, on a machine with three GPUs."""
    seen: list[Any] = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: CARDS)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda gpus, kind: seen.extend(gpus))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda *_: None)
    for name in ("inter", "intra"):
        setting = f"set_{name}_op_parallelism_threads"
        monkeypatch.setattr(tf.config.threading, setting, lambda threads: None)
    return seen


@pytest.mark.parametrize(
    ("reserved", "used"),
    [(None, CARDS[:1]), (["1"], CARDS[:1]), ([], [])],
    ids=["without Ray", "one is reserved", "none is reserved: a driver, --no-gpu"],
)
def test_a_process_computes_on_one_gpu_at_most_and_on_none_that_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch,
    visible: list[Any],
    reserved: list[str] | None,
    used: list[Any],
) -> None:
    monkeypatch.setattr(devices, "reserved_gpus", lambda: reserved)
    monkeypatch.setattr(devices, "_is_driver", lambda: True)  # or what it sees would stay set
    assert strategy.configure_devices(1) is bool(used)
    assert visible == used


def test_a_reserved_gpu_that_tensorflow_does_not_see_is_an_error_that_says_so() -> None:
    with pytest.raises(UserError, match=r"TensorFlow sees none there: install rnnray\[gpu\]"):
        strategy.configure_devices(1, needs_gpu=True)


def test_threads_that_come_too_late_are_a_warning_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tf.constant(1) + 1
    monkeypatch.setattr(devices, "available_cpus", lambda: 64)
    with pytest.warns(UserWarning, match="keeps its own number of threads instead of 37"):
        strategy.configure_devices(37)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strategy.configure_devices(0)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_xla_compiles_recurrent_layers_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    recurrent = getattr(keras.layers, kind)
    layers = [keras.layers.Bidirectional(recurrent(3, return_sequences=True)), recurrent(3)]
    model = keras.Sequential([keras.layers.Input((5, 4)), *layers])
    strategy.without_cudnn(model)
    # From here on Keras would take cuDNN, whose operation is nowhere to be found.
    rules = importlib.import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(rules, "_is_gpu_available", lambda: True)
    compiled = tf.function(lambda inputs: model(inputs, training=True), jit_compile=True)
    assert compiled(np.ones((2, 5, 4), np.float32)).shape == (2, 3)
