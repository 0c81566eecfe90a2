"""A classifier as ONNX or LiteRT gives other programs the checkpoint's probabilities."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lazily import Lazily, keras
from tiny import REPOSITORY, RunJob

from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.ink import strokes_to_ink
from rnnray.sketch.sketch_config import SketchConfig, notebook, strong
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.checkpoints import Position

classifiers = Lazily("rnnray.sketch.classifier")
checkpoints = Lazily("rnnray.training.checkpoints")
sketch_export = Lazily("rnnray.sketch.sketch_export")

POINTS = 20  # few steps, which convert in seconds
SMALL = {"max_points": POINTS, "filters": (4, 5, 6), "units": 3}
NOTEBOOK = SMALL | {"strides": (2, 1, 1), "kernel_sizes": (3, 3, 3)}
STRONG = SMALL | {"bitmap": {"size": 12, "samples": 64, "filters": (3, 4)}}
CLASSES = ("cat", "naïve dog", "zebra")


@pytest.fixture(autouse=True)
def _restored_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job hides the GPUs; later tests may want them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def checkpoint(folder: Path, config: SketchConfig, *, unroll: bool = True) -> str:
    """One of random weights; not unrolled, as GPUs leave them."""
    task = SketchTask(config, CLASSES)
    model = task.build_model(unroll=unroll)
    random = np.random.default_rng(0)
    model.set_weights(
        [
            random.uniform(0.1, 0.9, w.shape) if w.ndim == 1 else random.normal(0, 0.5, w.shape)
            for w in model.get_weights()
        ]
    )
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    folder.mkdir()
    checkpoints.save(folder, model, optimizer, Position(), task.checkpoint_files())
    return str(folder)


def configured(preset: Any, model: dict[str, Any]) -> SketchConfig:
    config = preset()
    values = config.model_dump() | {"model": config.model.model_dump() | model}
    return SketchConfig.model_validate(values)


def scribbles() -> Any:
    """Drawings of 2 points, of all that the model reads, and of lengths between."""
    random = np.random.default_rng(1)
    points = [random.random((2, count)) for count in (2, 3, 7, POINTS - 1, POINTS + 1)]
    inks = [strokes_to_ink(np.array_split(each, 2, axis=1)) for each in points]
    return sketch_table.from_inks(inks, [0] * len(inks), CLASSES)


def by_onnxruntime(file: Path, ink: Any) -> Any:
    import onnxruntime  # noqa: PLC0415

    return onnxruntime.InferenceSession(file).run(None, {"ink": ink})[0]


def by_litert(file: Path, ink: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    (probabilities,) = Interpreter(str(file)).get_signature_runner()(ink=ink).values()
    return probabilities


RUNTIMES = {".onnx": ("onnxruntime", by_onnxruntime), ".tflite": ("ai_edge_litert", by_litert)}
CASES = {
    "strong, from a GPU": (strong, STRONG, False),
    "notebook": (notebook, NOTEBOOK, True),
    "GRU": (strong, STRONG | {"recurrent": "gru", "layers": 1, "layer_normalization": True}, True),
}


@pytest.mark.parametrize("ending", RUNTIMES)
@pytest.mark.parametrize(("preset", "model", "unroll"), CASES.values(), ids=CASES)
def test_the_file_gives_the_probabilities_of_the_checkpoint(
    tmp_path: Path, run_here: RunJob, ending: str, preset: Any, model: dict[str, Any], unroll: bool
) -> None:
    package, computed = RUNTIMES[ending]
    pytest.importorskip(package)
    pytest.importorskip("tf2onnx")
    path = checkpoint(tmp_path / "checkpoint", configured(preset, model), unroll=unroll)
    file = tmp_path / "made" / f"sketch{ending}"
    result = run_here("export_sketch", "--checkpoint", path, "--output", str(file)).result
    assert (result["classes"], result["bytes"]) == (len(CLASSES), file.stat().st_size)
    assert result["largest_difference"] < 1e-5
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    classifier = classifiers.SketchClassifier(path)
    ink = sketch_table.padded(scribbles(), POINTS)[0]
    expected = np.exp(classifier.log_probabilities(scribbles()))
    assert np.ptp(expected, axis=0).max() > 1e-3
    for some in (slice(0, 1), slice(0, None)):
        np.testing.assert_allclose(computed(file, ink[some]), expected[some], atol=1e-5)


def test_readme_s_programs_run_with_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tf2onnx")
    text = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    config = configured(strong, STRONG | {"max_points": 100, "layers": 1, "strides": (4, 4, 1)})
    path = checkpoint(tmp_path / "checkpoint", config)
    triangle = [[[50, 0], [100, 90], [0, 90], [50, 0]]]
    ((name, _), *_) = classifiers.SketchClassifier(path).classify(triangle)
    monkeypatch.chdir(tmp_path)
    for ending in RUNTIMES:
        (program,) = (block for block in blocks if f'"sketch{ending}"' in block)
        Path(f"sketch{ending}").write_bytes(sketch_export.model_file(path, ending).content)
        exec(program, {})
        assert capsys.readouterr().out == f"{name}\n"


def test_without_the_extra_a_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, run_here: RunJob, tmp_path: Path
) -> None:
    for ending, (package, _) in RUNTIMES.items():
        monkeypatch.setitem(sys.modules, package, None)
        ended = run_here("export_sketch", "--output", str(tmp_path / f"sketch{ending}"))
        assert "pip install 'rnnray[export]'" in ended.failed_with()
    assert not list(tmp_path.iterdir())


def test_a_file_that_computes_something_else_is_not_written(
    monkeypatch: pytest.MonkeyPatch, run_here: RunJob, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    path = checkpoint(tmp_path / "checkpoint", configured(notebook, NOTEBOOK))
    right = sketch_export._with_probabilities

    def wrong(classifier: Any, *, unroll: bool) -> Any:
        model = right(classifier, unroll=unroll)
        model.set_weights([weights / 2 for weights in model.get_weights()])
        return model

    monkeypatch.setattr("rnnray.sketch.sketch_export._with_probabilities", wrong)
    file = tmp_path / "made" / "sketch.tflite"
    ended = run_here("export_sketch", "--checkpoint", path, "--output", str(file))
    assert "nothing was written" in ended.failed_with()
    assert not list(file.parent.iterdir())


def test_an_unknown_ending_is_wrong_use(run_here: RunJob, tmp_path: Path) -> None:
    ended = run_here("export_sketch", "--output", str(tmp_path / "sketch.onx"))
    assert "must end in .onnx or .tflite" in ended.failed_with(2)


def test_a_name_without_a_dot_is_a_saved_model(run_here: RunJob, tmp_path: Path) -> None:
    path, folder = (
        checkpoint(tmp_path / "checkpoint", configured(notebook, NOTEBOOK)),
        tmp_path / "it",
    )
    ended = run_here("export_sketch", "--checkpoint", path, "--output", str(folder))
    assert ended.result == {"output": str(folder), "format": "SavedModel", "classes": len(CLASSES)}
    assert (folder / "saved_model.pb").is_file()
