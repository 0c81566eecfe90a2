import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import RunJob, Trained

from rnnray.errors import UserError
from rnnray.sketch.classifier import SketchClassifier
from rnnray.sketch.data import demo_drawings
from rnnray.sketch.data.ink import ink_to_strokes


def ndjson_of(count: int, words: dict[int, str]) -> str:
    """Demo drawings as official ndjson, with other words for some."""
    values, lengths, classes = demo_drawings.inks(count, seed=7)
    ends = np.cumsum(lengths)
    lines = []
    for row, (end, length, index) in enumerate(zip(ends, lengths, classes, strict=True)):
        strokes = ink_to_strokes(values[end - length : end])
        drawing = [np.round(stroke * 255).astype(int).tolist() for stroke in strokes]
        word = words.get(row, demo_drawings.CLASS_NAMES[index])
        lines.append(json.dumps({"word": word, "key_id": f"k{row}", "drawing": drawing}))
    return "\n".join(lines)


def test_each_drawing_gets_its_five_most_probable_classes_in_the_files_order(
    run_here: RunJob, trained: Trained, tmp_path: Path
) -> None:
    count = 1500  # more than one batch, the last one not full
    lines = ndjson_of(count, {3: "a word that the model does not know"}).split("\n")
    lines[10] = "{broken"
    (tmp_path / "drawings.ndjson").write_text("\n".join(lines))
    output = tmp_path / "predictions.parquet"
    ended = run_here(
        "classify_sketches",
        *("--checkpoint", trained.ended.result["checkpoint"]),
        *("--data", str(tmp_path / "drawings.ndjson"), "--output", str(output)),
        *("--on-bad-record", "skip"),
    )
    assert ended.code == 0, ended.out + ended.err
    assert ended.result["count"] == count - 1
    assert ended.result["skipped"] == 1
    rows = pq.read_table(output).to_pylist()
    assert [row["key_id"] for row in rows] == [f"k{i}" for i in range(count) if i != 10]
    assert [row["row"] for row in rows] == [i for i in range(count) if i != 10]
    assert rows[3]["true_class"] == "a word that the model does not know"
    for row in rows:
        assert len(set(row["classes"])) == 5
        assert set(row["classes"]) <= set(demo_drawings.CLASS_NAMES)
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
        assert 0 < sum(row["probabilities"]) < 1.0001
    right = np.mean([row["classes"][0] == row["true_class"] for row in rows])
    # Three times what guessing gives, after one epoch.
    assert right > 3 / len(demo_drawings.CLASS_NAMES)


def test_a_drawing_from_a_canvas_gets_the_same_names_in_every_form(trained: Trained) -> None:
    classifier = SketchClassifier(str(trained.checkpoint))
    values, lengths, _ = demo_drawings.inks(1, seed=7)
    official = [np.round(s * 255).astype(int) for s in ink_to_strokes(values[: lengths[0]])]
    found = classifier.classify([stroke.tolist() for stroke in official])
    assert len(found) == 5
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    points = [stroke.T.tolist() for stroke in official]
    upwards = [[[x, -y] for x, y in stroke] for stroke in points]
    assert classifier.classify(points) == found
    assert classifier.classify([[{"x": x, "y": y} for x, y in s] for s in points]) == found
    turned = classifier.classify(upwards, y_up=True)
    assert [name for name, _ in turned] == [name for name, _ in found]
    assert [p for _, p in turned] == pytest.approx([p for _, p in found], rel=1e-4)
    for nothing in ([], [[]], [[[1, 2]]], [[[0, 1], [2, float("nan")]]]):
        with pytest.raises(UserError):
            classifier.classify(nothing)


def test_no_predictions_appear_when_the_data_are_bad(
    run_here: RunJob, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / "drawings.ndjson").write_text(ndjson_of(40, {}) + '\n{"word": "ant"}')
    ended = run_here(
        "classify_sketches",
        *("--checkpoint", trained.ended.result["checkpoint"]),
        *("--data", str(tmp_path / "drawings.ndjson")),
        *("--output", str(tmp_path / "out" / "predictions.parquet")),
    )
    assert "drawings.ndjson:41" in ended.failed_with()
    assert list((tmp_path / "out").iterdir()) == []
