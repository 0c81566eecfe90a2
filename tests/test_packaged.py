"""The models in the package: whole, small, used where none is named, and made as it is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from composers import logits_of, repetitive, save_checkpoint

from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.composing import compose
from rnnray.chorale.data.corpus_statistics import read_statistics
from rnnray.chorale.data.reference import read_reference
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.plan import make_plan
from rnnray.chorale.given import given_tokens
from rnnray.errors import UserError
from rnnray.packaged import CLASSIFIER, COMPOSER, FOLDERS, package
from rnnray.sketch.classifier import SketchClassifier

FOLDER = FOLDERS[COMPOSER]
DRAWINGS = {
    "house": [
        [[20, 50], [20, 90], [80, 90], [80, 50], [20, 50]],
        [[15, 50], [50, 15], [85, 50]],
        [[45, 90], [45, 70], [55, 70], [55, 90]],
    ],
    "envelope": [
        [[10, 30], [90, 30], [90, 80], [10, 80], [10, 30]],
        [[10, 30], [50, 60], [90, 30]],
    ],
}
CHORDS = {(0, 4, 7), (0, 3, 7), (0, 3, 6)}


def is_triad(chord: np.ndarray) -> bool:
    """A triad, perhaps without its fifth or third, of four sounding voices."""
    return bool((chord > 0).all()) and any(
        {(pitch - root) % 12 for pitch in chord.tolist()} <= set(kind)
        for root in range(12)
        for kind in CHORDS
    )


@pytest.mark.parametrize(
    ("name", "score", "licence"),
    [(COMPOSER, "validation_loss", "public domain"), (CLASSIFIER, "validation_top1", "CC BY 4.0")],
)
def test_it_is_a_checkpoint_that_anyone_may_carry(name: str, score: str, licence: str) -> None:
    folder = FOLDERS[name]
    sizes = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    assert sizes["model.keras"] <= 5_000_000
    assert sum(sizes.values()) <= 6_000_000
    card = (folder / "README.md").read_text()
    history = json.loads((folder / "position.json").read_text())["history"]
    best = [epoch[score] for epoch in history]
    text = f"{min(best):.4f}" if score.endswith("loss") else f"{max(best):.1%}".replace("%", " %")
    for words in (text, licence, "jobs/train_", "rnnray.packaged"):
        assert words in card


@pytest.mark.usefixtures("not_compiled")
def test_without_a_checkpoint_it_composes_and_carries_bach_s_own_statistics() -> None:
    composer = TrainedComposer()
    assert composer.config.data == "jsb"
    composed = compose(composer, given_tokens(8, None, None), [1.0], count=8, top_p=1.0, seed=0)
    pieces = [one.chords for one in composed[1.0]]
    assert sum(is_triad(piece[0]) for piece in pieces) >= 6
    assert np.mean([one.nats.mean() for one in composed[1.0]]) < 0.6
    statistics = read_reference(COMPOSER, None, None).statistics
    assert statistics.critique.chorales == 382
    assert len(statistics.examples) == 77


@pytest.mark.usefixtures("not_compiled")
def test_without_a_checkpoint_it_recognises_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnray.sketch.classifier._ROWS", 1)
    classifier = SketchClassifier()
    assert len(classifier.class_names) == 345
    for name, drawing in DRAWINGS.items():
        assert classifier.classify(drawing)[0].name == name


def test_a_generation_run_names_it_and_not_the_folder_where_the_driver_has_it() -> None:
    plan = make_plan("run", GenerationConfig(count=1))
    assert plan.asked()["checkpoint"] == COMPOSER
    assert plan.bach


@pytest.mark.usefixtures("not_compiled")
def test_packaging_halves_the_weights_and_keeps_what_they_say(tmp_path: Path) -> None:
    checkpoint = Path(save_checkpoint(tmp_path / "checkpoint", "strong", embedding=64))
    (checkpoint / "statistics.json").write_bytes((FOLDER / "statistics.json").read_bytes())
    folder = tmp_path / "trained"
    folder.mkdir()
    package(checkpoint, folder)
    first = (folder / "model.keras").read_bytes()
    package(checkpoint, folder)
    assert (folder / "model.keras").read_bytes() == first
    assert len(first) < 0.7 * (checkpoint / "model.keras").stat().st_size
    tokens = repetitive(16)[None, : 4 * 40]
    whole, halved = (TrainedComposer(str(each)).model for each in (checkpoint, folder))
    assert {weight.dtype for weight in halved.weights} == {"float32"}
    np.testing.assert_allclose(logits_of(halved, tokens), logits_of(whole, tokens), atol=0.05)
    assert read_statistics(str(folder)) is not None


def test_what_is_no_whole_checkpoint_is_not_packaged(tmp_path: Path) -> None:
    checkpoint = Path(save_checkpoint(tmp_path / "checkpoint", "notebook"))
    with pytest.raises(UserError, match=r"has no statistics\.json"):
        package(checkpoint, tmp_path)
