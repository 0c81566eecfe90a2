"""A trained sketch classifier as one file for other programs: ONNX or LiteRT.

The file computes in float32, without operations of ours or of TensorFlow, and has the names of the
classes in it.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rnnray.errors import UserError
from rnnray.predictions import Floats
from rnnray.quiet import muted_stderr
from rnnray.sketch.classifier import SketchClassifier
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.ink import strokes_to_ink
from rnnray.sketch.sketch_task import padded
from rnnray.training.checkpoints import CLASSES

# Largest difference between probabilities of the file and of the checkpoint, by its precision.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}
_CHECKED = 8  # drawings


@dataclass(frozen=True)
class ModelFile:
    """A classifier as a file."""

    content: bytes
    classes: int
    """Number of classes."""
    largest_difference: float
    """Largest difference between its probabilities and the checkpoint's."""


def model_file(checkpoint: str, ending: str) -> ModelFile:
    """Return a classifier as a file, whose probabilities have been compared with the checkpoint's.

    The file takes `ink`, float32 [n, max_points, 3], and gives probabilities, float32 [n, classes].

    Args:
        checkpoint: path or URI of a checkpoint folder, or `rnnray.packaged.CLASSIFIER`.
        ending: ending of the file's name, .onnx or .tflite.

    Raises:
        UserError: an extra is not installed, the folder is not a checkpoint, or the file's
            probabilities differ.
    """
    form = _FORMS[ending]
    if not all(map(find_spec, form.packages)):
        raise UserError(f"{form.name} needs an extra of this project: pip install 'rnnray[export]'")
    classifier = SketchClassifier(checkpoint)
    drawings = _random_drawings(classifier)
    expected = np.exp(classifier.log_probabilities(drawings))
    with muted_stderr():  # the converters and runtimes tell of each of their steps
        model = _with_probabilities(classifier, unroll=form.unroll)
        content = form.written(model, classifier.class_names)
        found = form.computed(content, padded(drawings, classifier.config.model)[0])
    difference = float(np.abs(found - expected).max())
    if not difference <= _TOLERANCE[classifier.config.precision]:  # NaN is refused, too
        raise UserError(
            f"{checkpoint}: as {form.name} its probabilities differ by {difference:.2g}; "
            "nothing was written"
        )
    return ModelFile(content, len(classifier.class_names), difference)


def _with_probabilities(classifier: SketchClassifier, *, unroll: bool) -> Any:
    """Return a Keras model in float32, ink -> probabilities; see `sketch_model.build`."""
    import keras  # noqa: PLC0415

    from rnnray.sketch import sketch_model  # noqa: PLC0415

    model = sketch_model.build(classifier.config.model, len(classifier.class_names), unroll=unroll)
    model.set_weights(classifier.model.get_weights())
    probabilities = keras.layers.Softmax(name="probabilities")(model.output)
    return keras.Model(model.input, probabilities)


def _random_drawings(classifier: SketchClassifier) -> Any:
    """Return a sketch table of scribbles of two points, of max_points, and of lengths between."""
    random = np.random.default_rng(0)
    lengths = np.linspace(2, classifier.config.model.max_points + 1, _CHECKED).astype(int)
    inks = [
        strokes_to_ink(np.array_split(random.random((2, length)), 3, axis=1)) for length in lengths
    ]
    unknown = [sketch_table.UNKNOWN_CLASS] * _CHECKED
    return sketch_table.from_inks(inks, unknown, classifier.class_names)


def _written_onnx(model: Any, class_names: tuple[str, ...]) -> bytes:
    import tensorflow as tf  # noqa: PLC0415
    import tf2onnx  # noqa: PLC0415

    # Not by Keras's own export, which takes no handlers of operations that tf2onnx does not know.
    function = tf.function(
        lambda ink: {"probabilities": model(ink, training=False)},
        input_signature=[tf.TensorSpec(model.input.shape, tf.float32, name="ink")],
        autograph=False,
    )
    converted, _ = tf2onnx.convert.from_function(
        function, function.input_signature, custom_op_handlers={"Log1p": (_log1p, [])}
    )
    names = converted.metadata_props.add()
    names.key, names.value = "classes", json.dumps(class_names)
    content: bytes = converted.SerializeToString()
    return content


def _log1p(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Write TensorFlow's Log1p in ONNX's operations: tf2onnx does not know it (1.17)."""
    del arguments
    (output,) = node.output
    kept = {"shapes": [graph.get_shape(output)], "dtypes": [graph.get_dtype(output)]}
    graph.remove_node(name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    total = graph.make_node("Add", [node.input[0], one.output[0]])
    graph.make_node("Log", total.output, outputs=[output], name=name, **kept)


def _computed_onnx(content: bytes, ink: Floats) -> Floats:
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"ink": ink})
    return np.asarray(probabilities)


def _written_litert(model: Any, class_names: tuple[str, ...]) -> bytes:
    import tensorflow as tf  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "model.tflite"
        model.export(
            *(file, "litert"),
            verbose=False,
            target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        )
        # Files that belong to a LiteRT model stand after it, as a zip archive.
        with zipfile.ZipFile(file, "a") as archive:
            names = "".join(f"{name}\n" for name in class_names)
            archive.writestr(zipfile.ZipInfo(CLASSES), names)
        return file.read_bytes()


def _computed_litert(content: bytes, ink: Floats) -> Floats:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    classify = Interpreter(model_content=content).get_signature_runner()
    (probabilities,) = classify(ink=ink).values()
    return np.asarray(probabilities)


@dataclass(frozen=True)
class _Form:
    name: str
    packages: tuple[str, ...]
    unroll: bool
    written: Callable[[Any, tuple[str, ...]], bytes]
    computed: Callable[[bytes, Floats], Floats]


_FORMS = {
    # As a loop the packaged classifier is converted several times faster.
    ".onnx": _Form("ONNX", ("tf2onnx", "onnxruntime"), False, _written_onnx, _computed_onnx),
    # LiteRT has loops over a batch of any size only together with TensorFlow's operations.
    ".tflite": _Form("LiteRT", ("ai_edge_litert",), True, _written_litert, _computed_litert),
}
