from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rnnray.errors import UserError, find_user_error
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.drawings import Drawings
from rnnray.sketch.data.prepare import prepare
from rnnray.splits import SPLITS

COUNTS = {"train": 300, "validation": 30, "test": 30}


def contents(drawings: Drawings, split: str) -> list[tuple[int, bytes]]:
    """Every drawing of a split as (class, ink), in an order of their own."""
    found = []
    for part in drawings.parts(split):
        for rows in part.tables(origin=False, on_bad=None):
            inks = sketch_table.inks_of(rows)
            found += [
                (i, ink.tobytes())
                for i, ink in zip(rows["class_index"].to_pylist(), inks, strict=True)
            ]
    return sorted(found)


@pytest.mark.parametrize("file_format", ["parquet", "tfrecords"])
def test_prepared_drawings_are_those_of_the_source_split_by_split(
    ray_cluster: None, tmp_path: Path, file_format: str
) -> None:
    source = open_drawings("demo:300")
    output = str(tmp_path / "prepared")
    assert prepare(source, output, file_format=file_format) == COUNTS  # type: ignore[arg-type]
    prepared = open_drawings(output)
    assert prepared.class_names == source.class_names
    for split in SPLITS:
        assert contents(prepared, split) == contents(source, split)
        assert prepared.count(split) == COUNTS[split]


def test_prepared_drawings_are_mixed_so_that_sorted_data_train(
    ray_cluster: None, tmp_path: Path
) -> None:
    lines = [
        f'{{"word": "{word}", "key_id": "{word}{i}", "drawing": [[[0, {i + 1}], [0, 5]]]}}'
        for word in ("ant", "bee")
        for i in range(500)
    ]
    (tmp_path / "all.ndjson").write_text("\n".join(lines))
    prepare(open_drawings(str(tmp_path / "all.ndjson")), str(tmp_path / "mixed"))
    part = open_drawings(str(tmp_path / "mixed")).parts("train")[0]
    rows = pa.concat_tables(part.tables(origin=False, on_bad=None))
    first_half = rows["class_index"].to_numpy()[: len(rows) // 2]
    assert 0.35 < np.mean(first_half) < 0.65


def test_an_output_that_holds_something_is_left_alone(ray_cluster: None, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for output in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="not empty"):
            prepare(open_drawings("demo:100"), str(output))
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_preparation_that_failed_is_not_taken_for_a_whole_one(
    ray_cluster: None, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    good = '{"word": "ant", "key_id": "%d", "drawing": [[[0, 9], [0, 5]]]}'
    (source / "a.ndjson").write_text("\n".join(good % i for i in range(50)))
    drawings = open_drawings(str(source))
    (source / "a.ndjson").write_text("\n".join([*(good % i for i in range(50)), "{broken"]))
    output = str(tmp_path / "prepared")
    with pytest.raises(Exception, match=r"a\.ndjson:51") as raised:
        prepare(drawings, output)
    assert find_user_error(raised.value) is not None
    with pytest.raises(UserError):
        open_drawings(output)
