"""A page to draw on, which recognises what is drawn: one HTML file that needs no server.

The page has the classifier's weights in it and computes with them itself (network.js). The runtimes
of ONNX, LiteRT and TensorFlow.js do far more than is needed here, and load their WebAssembly from
other files, which a page that is opened from a folder may not. The layers of this model are 270
lines.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.packaged import CLASSIFIER
from rnnray.sketch.classifier import SketchClassifier
from rnnray.sketch.sketch_config import SketchModelConfig

_SCRIPTS = ("ink.js", "network.js", "draw.js")
_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Page:
    """A page to draw on."""

    html: str
    classes: int
    """Number of classes."""


def build(checkpoint: str = CLASSIFIER) -> Page:
    """Return the page of a classifier.

    Its weights have 16 bits, so that probabilities differ from the checkpoint's in the third digit,
    and not at all from those of the packaged classifier, whose weights have 16 bits, too.

    Args:
        checkpoint: path or URI of a checkpoint folder, or `CLASSIFIER`.

    Raises:
        UserError: not a checkpoint, or of a model with layers that the page does not have.
    """
    classifier = SketchClassifier(checkpoint)
    config = classifier.config.model
    _check(config, checkpoint)
    arrays = _arrays(config, classifier)
    shapes, offset = {}, 0
    for name, array in arrays.items():
        shapes[name] = {"shape": array.shape, "offset": offset}
        offset += array.size
    numbers = np.concatenate([array.ravel() for array in arrays.values()]).astype("<f2")
    about = {
        "config": config.model_dump(mode="json"),
        "classes": classifier.class_names,
        "arrays": shapes,
    }
    script = "\n".join(_read(name) for name in _SCRIPTS)
    style = _read("draw.css")
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}"
    text = Template(_read("draw.html")).substitute(
        policy=policy,
        style=style,
        script=script,
        # "<" could end the element.
        about=json.dumps(about).replace("<", "\\u003c"),
        weights=base64.b64encode(numbers.tobytes()).decode(),
    )
    return Page(text, len(classifier.class_names))


def _check(config: SketchModelConfig, checkpoint: str) -> None:
    if config.recurrent != "lstm" or config.layer_normalization:
        option = "recurrent gru" if config.recurrent != "lstm" else "layer-normalization"
        raise UserError(
            f"{checkpoint}: was trained with --model.{option}, which the page cannot compute; "
            "train without it"
        )


def _arrays(config: SketchModelConfig, classifier: SketchClassifier) -> dict[str, _Array]:
    """Return the weights by names that say where they belong; batch normalisation is folded."""
    from rnnray.sketch import sketch_model  # noqa: PLC0415  (imports Keras)

    # A model whose layers have names: those of checkpoints may be older.
    named = sketch_model.build(config, len(classifier.class_names))
    named.set_weights(classifier.model.get_weights())
    arrays: dict[str, _Array] = {}
    for number in range(len(config.filters)):
        kernel, bias = named.get_layer(f"convolution_{number}").get_weights()
        arrays |= {f"convolution_{number}.kernel": kernel, f"convolution_{number}.bias": bias}
        if config.batch_normalization:
            scale, shift = _scale_and_shift(named.get_layer(f"normalization_{number}"))
            arrays |= {f"convolution_{number}.scale": scale, f"convolution_{number}.shift": shift}
    for number in range(config.layers):
        weights = named.get_layer(f"recurrent_{number}").get_weights()
        for index, array in enumerate(weights):
            direction, kind = divmod(index, 3)
            name = ("kernel", "recurrent", "bias")[kind]
            arrays[f"recurrent_{number}.{direction}.{name}"] = array
    if "attention" in config.pooling:
        arrays["attention"] = named.get_layer("pooling").get_weights()[0]
    for number in range(len(config.bitmap.filters) if config.bitmap.size else 0):
        (kernel,) = named.get_layer(f"bitmap_convolution_{number}").get_weights()
        scale, shift = _scale_and_shift(named.get_layer(f"bitmap_normalization_{number}"))
        arrays |= {
            f"bitmap_{number}.kernel": kernel * scale,
            f"bitmap_{number}.bias": shift,
        }
    kernel, bias = named.get_layer("logits").get_weights()
    return arrays | {"logits.kernel": kernel, "logits.bias": bias}


def _scale_and_shift(layer: Any) -> tuple[_Array, _Array]:
    gamma, beta, mean, variance = layer.get_weights()
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
