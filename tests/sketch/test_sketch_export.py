"""A classifier as ONNX or LiteRT gives other programs the checkpoint's probabilities."""

import dataclasses
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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

# Few steps, which convert in seconds.
SMALL = {"max_points": 20, "filters": (4, 5, 6), "units": 3}
NOTEBOOK = SMALL | {"strides": (3, 2, 1), "kernel_sizes": (3, 3, 2)}
STRONG = SMALL | {
    "max_points": 100,  # as README's programs have it
    "strides": (5, 7, 1),
    "layers": 1,
    "bitmap": {"size": 12, "samples": 64, "filters": (3, 4)},
}
GRU = NOTEBOOK | {
    "recurrent": "gru",
    "layers": 1,
    "mask_padding": True,
    "same_padding": True,
    "layer_normalization": True,
}
CLASSES = ("cat", "naïve dog", "owl", "zebra")


@pytest.fixture(autouse=True)
def _restored_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job hides the GPUs; later tests may want them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def checkpoint(folder: Path, config: SketchConfig, *, unroll: bool = True, seed: int = 0) -> str:
    """One of random weights; not unrolled, as GPUs leave them."""
    task = SketchTask(config, CLASSES)
    model = task.build_model(unroll=unroll)
    random = np.random.default_rng(seed)
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


def scribbles(most: int) -> Any:
    """Drawings of 2 points, of all that the model reads, and of lengths between."""
    random = np.random.default_rng(1)
    points = [random.random((2, count)) for count in (2, 3, 7, most // 2, most - 1, most + 1)]
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
    "GRU": (notebook, GRU, True),
}


class Exported(NamedTuple):
    checkpoint: str
    file: Path
    result: dict[str, Any]


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, run_here: RunJob
) -> Callable[[str, str], Exported]:
    """Exports a case as a file of an ending, once."""

    @functools.cache
    def checkpoint_of(case: str) -> str:
        preset, model, unroll = CASES[case]
        folder = tmp_path_factory.mktemp("case") / "checkpoint"
        return checkpoint(folder, configured(preset, model), unroll=unroll)

    @functools.cache
    def export(case: str, ending: str) -> Exported:
        pytest.importorskip(RUNTIMES[ending][0])
        pytest.importorskip("tf2onnx")
        path = checkpoint_of(case)
        file = tmp_path_factory.mktemp("exported") / "made" / f"sketch{ending}"
        result = run_here("export_sketch", "--checkpoint", path, "--output", str(file)).result
        return Exported(path, file, result)

    return export


Export = Callable[[str, str], Exported]


@pytest.mark.usefixtures("not_compiled")
@pytest.mark.parametrize("ending", RUNTIMES)
@pytest.mark.parametrize("case", CASES)
def test_the_file_gives_the_probabilities_of_the_checkpoint(
    exported: Export, ending: str, case: str
) -> None:
    path, file, result = exported(case, ending)
    assert (result["classes"], result["bytes"]) == (len(CLASSES), file.stat().st_size)
    assert result["largest_difference"] < 1e-5
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    classifier = classifiers.SketchClassifier(path)
    points = classifier.config.model.max_points
    ink = sketch_table.padded(scribbles(points), points)[0]
    expected = np.exp(classifier.log_probabilities(scribbles(points)))
    assert np.ptp(expected, axis=0).max() > 1e-3
    for some in (slice(0, 1), slice(0, None)):
        computed = RUNTIMES[ending][1](file, ink[some])
        np.testing.assert_allclose(computed, expected[some], atol=1e-5)


@pytest.mark.usefixtures("not_compiled")
def test_readme_s_programs_run_with_the_files(
    exported: Export, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    triangle = [[[50, 0], [100, 90], [0, 90], [50, 0]]]
    made = [exported("strong, from a GPU", ending) for ending in RUNTIMES]
    ((name, _), *_) = classifiers.SketchClassifier(made[0].checkpoint).classify(triangle)
    for ending, (_, file, _) in zip(RUNTIMES, made, strict=True):
        (program,) = (block for block in blocks if f'"sketch{ending}"' in block)
        monkeypatch.chdir(file.parent)
        capsys.readouterr()
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


@pytest.mark.usefixtures("not_compiled")
def test_a_file_that_computes_something_else_is_not_written(
    exported: Export, monkeypatch: pytest.MonkeyPatch, run_here: RunJob, tmp_path: Path
) -> None:
    other = exported("notebook", ".tflite").file.read_bytes()
    form = dataclasses.replace(sketch_export._FORMS[".tflite"], written=lambda *_: other)
    monkeypatch.setitem(sketch_export._FORMS, ".tflite", form)
    path = checkpoint(tmp_path / "checkpoint", configured(notebook, NOTEBOOK), seed=1)
    file = tmp_path / "made" / "sketch.tflite"
    ended = run_here("export_sketch", "--checkpoint", path, "--output", str(file))
    assert "nothing was written" in ended.failed_with()
    assert not list(file.parent.iterdir())


def test_an_unknown_ending_is_wrong_use(run_here: RunJob, tmp_path: Path) -> None:
    ended = run_here("export_sketch", "--output", str(tmp_path / "sketch.onx"))
    assert "must end in .onnx or .tflite" in ended.failed_with(2)
