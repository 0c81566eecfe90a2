"""A checkpoint from a stranger runs nothing when it is loaded, and is one line if it is not one."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lazily import keras

from rnnray.errors import UserError
from rnnray.training import checkpoints
from rnnray.training.checkpoints import Position

Edit = Callable[[Any], Any]


def small() -> tuple[Any, Any]:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    checkpoints.save(folder, *small(), Position(), {})
    return folder


def edit(folder: Path, *, config: Edit = lambda c: c, weights: Edit = lambda w: w) -> None:
    """Change what is in model.keras."""
    path = folder / checkpoints.MODEL
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    files["config.json"] = json.dumps(config(json.loads(files["config.json"]))).encode()
    files["model.weights.h5"] = weights(files["model.weights.h5"])
    with zipfile.ZipFile(path, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)


def one_line(read: Callable[[], object], file: Path) -> str:
    with pytest.raises(UserError) as caught:
        read()
    message = str(caught.value.args[0])
    assert str(file) in message
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    return message


def named(module: str, name: str, config: Any, **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": None} | more


def layers(canary: Path, readable: Path) -> dict[str, dict[str, Any]]:
    """What a model's description has named to run code, or to read a file of this machine."""
    function = {"module": "os", "class_name": "function", "config": "mkdir"}
    return {
        "function of os": named("os", "mkdir", str(canary)),
        "builtin": named("builtins", "exec", f"import os; os.mkdir({str(canary)!r})"),
        "registered function": function | {"registered_name": "mkdir"},
        "lambda": {"class_name": "__lambda__", "config": {"value": "gASV"}},
        "unsafe, then": named("keras.config", "enable_unsafe_deserialization", {}),
        "unsafe inside": named(
            "keras.src.saving.serialization_lib", "enable_unsafe_deserialization", {}
        ),
        "download": named(
            "keras.utils", "get_file", {"fname": "x", "origin": "http://127.0.0.1:9"}
        ),
        "saved model": named("keras.layers", "TFSMLayer", {"filepath": str(readable.parent)}),
        "torch": named("keras.layers", "TorchModuleWrapper", {"module": "gASV"}),
        "vocabulary": named(
            "keras.layers", "StringLookup", {"name": "s", "vocabulary": str(readable)}
        ),
        "activation": named(
            "keras.layers",
            "Dense",
            {"name": "d", "units": 2, "activation": function | {"registered_name": "mkdir"}},
        ),
        "unpack": named("shutil", "unpack_archive", {"filename": str(readable)}),
    }


@pytest.mark.parametrize("trick", list(layers(Path(), Path())))
def test_a_model_that_names_code_or_files_is_refused(
    folder: Path, canary: Path, tmp_path: Path, trick: str
) -> None:
    readable = tmp_path / "readable"
    readable.write_text("a\nb\n")
    planted = layers(canary, readable)[trick]

    def plant(config: Any) -> Any:
        config["config"]["layers"][1] = planted
        return config

    edit(folder, config=plant)
    file = folder / checkpoints.MODEL
    assert "cannot be loaded" in one_line(lambda: checkpoints.load_model(folder), file)


def test_a_lambda_layer_is_refused(folder: Path, canary: Path) -> None:
    inputs = keras.layers.Input((4,))
    path = str(canary)
    outputs = keras.layers.Lambda(lambda x: (__import__("os").mkdir(path), x)[1])(inputs)
    canary.rmdir()  # building the model has called it
    keras.Model(inputs, outputs).save(folder / checkpoints.MODEL)
    file = folder / checkpoints.MODEL
    assert "cannot be loaded" in one_line(lambda: checkpoints.load_model(folder), file)


@pytest.mark.parametrize("part", ["compile_config", "build_config"])
def test_what_a_model_was_compiled_with_is_not_looked_at(
    folder: Path, canary: Path, part: str
) -> None:
    planted = named("os", "mkdir", str(canary))
    edit(folder, config=lambda config: config | {part: planted})
    assert checkpoints.load_model(folder).count_params() == 10


def with_weights(change: Callable[[h5py.File, str], None]) -> Edit:
    def plant(content: bytes) -> bytes:
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as opened:
            found: list[str] = []
            opened.visit(found.append)
            name = next(name for name in found if name.endswith("vars/0"))
            del opened[name]
            change(opened, name)
        return file.getvalue()

    return plant


def link(opened: h5py.File, name: str) -> None:
    opened[name] = h5py.ExternalLink("/etc/passwd", "/x")


def outside(opened: h5py.File, name: str) -> None:
    opened.create_dataset(name, (4, 2), "f4", external=[("/etc/passwd", 0, 32)])


def huge(opened: h5py.File, name: str) -> None:
    opened.create_dataset(name, (10**7, 10**5), "f4", chunks=(1000, 1000))


@pytest.mark.parametrize("change", [link, outside, huge])
def test_weights_that_lie_in_another_file_or_fill_the_memory_are_refused(
    folder: Path, change: Callable[[h5py.File, str], None]
) -> None:
    edit(folder, weights=with_weights(change))
    file = folder / checkpoints.MODEL
    one_line(lambda: checkpoints.load_model(folder), file)
    one_line(lambda: checkpoints.restore(folder, *small()), folder)


@pytest.mark.filterwarnings("ignore:Skipping invalid path")
def test_no_file_of_a_model_s_archive_lands_outside(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / checkpoints.MODEL, "a") as archive:
        for name in ("../outside", "../../outside", f"{tmp_path}/outside", "assets/../../outside"):
            archive.writestr(name, b"evil")
    before = {path.name for path in tmp_path.rglob("*")}
    checkpoints.load_model(folder)
    assert {path.name for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", [checkpoints.MODEL, checkpoints.OPTIMIZER, checkpoints.POSITION])
def test_a_pickle_in_a_checkpoint_is_refused_by_name(
    folder: Path, evil_pickle: bytes, name: str
) -> None:
    (folder / name).write_bytes(evil_pickle)
    if name == checkpoints.POSITION:
        one_line(lambda: checkpoints.read_position(folder), folder / name)
    else:
        one_line(lambda: checkpoints.restore(folder, *small()), folder)
    if name == checkpoints.MODEL:
        one_line(lambda: checkpoints.load_model(folder), folder / name)


def test_objects_among_the_optimizer_s_arrays_are_refused(folder: Path, evil: object) -> None:
    np.savez(folder / checkpoints.OPTIMIZER, **{"0000": np.array([evil], object)})
    one_line(lambda: checkpoints.restore(folder, *small()), folder)


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 100_000, "[]", '{"epochs": 1}', '{"epoch": "1"}', '{"history": 1}']
)
def test_a_position_that_is_none_is_refused_by_name(folder: Path, text: str) -> None:
    (folder / checkpoints.POSITION).write_text(text)
    one_line(lambda: checkpoints.read_position(folder), folder / checkpoints.POSITION)
