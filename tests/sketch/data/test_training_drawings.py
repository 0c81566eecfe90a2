"""What training gets of the drawings."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from drawing_files import NAMES, parquet, put

from rnnray.errors import UserError
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.training_drawings import (
    balancing_weights,
    has_drawings,
    identity,
    training_data,
)
from rnnray.sketch.sketch_config import SketchConfig


@pytest.mark.usefixtures("ray_cluster")
def test_an_empty_split_is_said_before_training_and_what_the_data_are_is_known(
    tmp_path: Path,
) -> None:
    parquet(tmp_path / "sub/train.parquet", 7)
    parquet(tmp_path / "validation.parquet", 0)
    parquet(tmp_path / "test.parquet", 2)
    drawings = open_drawings(str(tmp_path))
    with pytest.raises(UserError, match=r"no drawings in the validation split; --split 80:10:10"):
        training_data(drawings, SketchConfig())
    assert [has_drawings(drawings, s) for s in ("validation", "test")] == [False, True]
    assert identity(drawings, 7) == {
        "classes": list(NAMES),
        "training_drawings": 7,
        "file_bytes": {
            str(path.relative_to(tmp_path)): path.stat().st_size
            for path in tmp_path.rglob("*.parquet")
        },
    }


@pytest.mark.usefixtures("ray_cluster")
def test_few_drawings_of_a_class_count_as_much_as_many_where_that_is_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "drawings"
    for split, counts in (("train", (300, 6, 6)), ("validation", (2, 1, 0))):
        classes = np.repeat(np.arange(3), counts).tolist()
        inks = [np.array([[1, 1, 1]], np.float32)] * len(classes)
        (folder / split).mkdir(parents=True)
        pq.write_table(sketch_table.from_inks(inks, classes, NAMES), folder / split / "x.parquet")
    put(folder / "sketches.json", "{}")
    data = training_data(open_drawings(str(folder)), SketchConfig(class_weights="balanced"))
    rows = data.training.table(0)
    weights = sketch_table.weights_of(rows)
    classes = rows["class_index"].to_numpy()
    assert np.bincount(classes, weights) == pytest.approx([104, 104, 104], rel=1e-5)
    rows = data.validation.table(0)
    assert sketch_table.weights_of(rows).tolist() == [1, 1, 1]  # every drawing counts once there
    assert balancing_weights(np.array([4, 0, 4])).tolist() == [1, 4, 1]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("by_class", [True, False])
def test_drawings_that_stay_sorted_by_class_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by_class: bool
) -> None:
    ink = np.array([[1, 1, 1]], np.float32)
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        for number in range(3):
            classes = [number] * 60 if by_class else [0, 1, 2] * 20
            drawn = sketch_table.from_inks([ink] * 60, classes, NAMES)
            pq.write_table(drawn, tmp_path / split / f"{number}.parquet")
    for rows, told in ((0, by_class), (16_384, False)):
        training_data(open_drawings(str(tmp_path)), SketchConfig(shuffle_rows=rows))
        assert ("3 of 3 blocks" in capsys.readouterr().out) == told
