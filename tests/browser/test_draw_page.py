"""The page to draw on: it sees what Python's classifier sees, from the pointer's events on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lazily import Lazily, keras
from page_waits import wait_for

from rnnray.errors import UserError
from rnnray.sketch.data import demo_drawings
from rnnray.sketch.sketch_config import SketchConfig, notebook, strong
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.checkpoints import Position

draw_page = Lazily("rnnray.sketch.draw_page")
classifiers = Lazily("rnnray.sketch.classifier")
checkpoints = Lazily("rnnray.training.checkpoints")

SMALL = {"filters": (6, 5, 4), "units": 7, "max_points": 40}
STRONG = SMALL | {"bitmap": {"size": 16, "filters": (3, 4)}}


def checkpoint(folder: Path, config: SketchConfig, model: dict[str, Any]) -> str:
    """One of random weights, also where fresh ones are 0 or 1."""
    values = config.model_dump() | {"model": config.model.model_dump() | model}
    task = SketchTask(SketchConfig.model_validate(values), tuple(demo_drawings.CLASS_NAMES))
    classifier = task.build_model(unroll=True)
    random = np.random.default_rng(0)
    fresh = classifier.get_weights()
    classifier.set_weights(
        [
            random.normal(0, 2 / np.sqrt(w[..., 0].size), w.shape)
            if w.ndim > 1
            else random.uniform(0.1, 0.9, w.shape)
            for w in fresh
        ]
    )
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(classifier.trainable_variables)
    folder.mkdir()
    checkpoints.save(folder, classifier, optimizer, Position(), task.checkpoint_files())
    return str(folder)


def line(*corners: tuple[float, float], count: int = 12) -> list[list[float]]:
    """Points on the way from corner to corner."""
    shares = np.linspace(0, len(corners) - 1, count)
    return [
        [float(np.interp(share, range(len(corners)), axis)) for axis in zip(*corners, strict=True)]
        for share in shares
    ]


def wave(count: int) -> list[list[float]]:
    at = np.linspace(0, 1, count)
    return np.stack([at, 0.5 + 0.4 * np.sin(60 * at) * at], axis=1).tolist()


DRAWINGS = {
    "house": [
        line((0.2, 0.5), (0.2, 0.9), (0.8, 0.9), (0.8, 0.5)),
        line((0.1, 0.55), (0.5, 0.1), (0.9, 0.55)),
        line((0.45, 0.9), (0.45, 0.7)),
    ],
    "a line and a dot": [line((0.1, 0.5), (0.9, 0.5)), [[0.5, 0.2]]],
    "more points than are read": [wave(3000)],
}


@pytest.mark.parametrize(
    ("preset", "model"), [(strong, STRONG), (notebook, SMALL)], ids=["strong", "notebook"]
)
def test_the_page_gives_the_probabilities_of_the_checkpoint(
    new_page: Callable[..., Any], tmp_path: Path, preset: Any, model: dict[str, Any]
) -> None:
    path = checkpoint(tmp_path / "checkpoint", preset(), model)
    classifier = classifiers.SketchClassifier(path)
    (tmp_path / "draw.html").write_text(draw_page.build(path).html)
    page = new_page()
    page.goto((tmp_path / "draw.html").as_uri())
    seen = []
    for drawing in DRAWINGS.values():
        found = page.evaluate("drawing => network.probabilities(drawing)", drawing)
        expected = {c.name: c.probability for c in classifier.classify(drawing, top=99)}
        in_order = [expected[name] for name in classifier.class_names]
        np.testing.assert_allclose(found, in_order, atol=2e-3)
        seen.append(found)
    assert np.ptp(seen, axis=0).max() > 0.01, "the drawings must not all look alike"


def test_what_a_pointer_draws_is_recognised_undone_and_cleared(
    new_page: Callable[..., Any], tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "checkpoint", strong(), STRONG)
    (tmp_path / "draw.html").write_text(draw_page.build(path).html)
    page = new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "draw.html").as_uri())
    box = page.locator("#canvas").bounding_box()
    for stroke in DRAWINGS["house"]:
        (x, y), *rest = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke
        ]
        page.mouse.move(x, y)
        page.mouse.down()
        for point in rest:
            page.mouse.move(*point)
        page.mouse.up()
    guesses = page.locator("#guesses li")
    wait_for(page, "down === null && !waiting")
    drawn = page.evaluate("strokes")
    assert [len(stroke) for stroke in drawn] >= [12, 12, 12]
    expected = classifiers.SketchClassifier(path).classify(drawn)
    assert guesses.locator(".name").all_text_contents() == [c.name for c in expected]
    shown = [float(item.get_attribute("data-probability")) for item in guesses.all()]
    np.testing.assert_allclose(shown, [c.probability for c in expected], atol=2e-3)

    page.locator("#undo").click()
    assert page.evaluate("strokes.length") == 2
    page.locator("#clear").click()
    wait_for(page, "!document.querySelector('#guesses li')")
    assert page.locator("#verdict").text_content() == "Nothing yet"
    assert page.locator("#undo").is_disabled()
    assert len(requests) == 1, "the page must be one file"


def test_a_model_that_the_page_cannot_compute_is_refused_by_its_option(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "checkpoint", notebook(), SMALL | {"recurrent": "gru"})
    with pytest.raises(UserError, match=r"--model\.recurrent gru, which the page cannot compute"):
        draw_page.build(path)
