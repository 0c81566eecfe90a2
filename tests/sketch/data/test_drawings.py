"""Drawings that Ray Data reads: each once, in order, and the bad ones counted."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
from drawing_files import NAMES, UNIT, collected, line, parquet, put, shard

from rnnray.bad_records import BadRecords, counted
from rnnray.errors import UserError, find_user_error
from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.drawings import DemoPart, Drawings


@pytest.mark.usefixtures("ray_cluster")
def test_every_drawing_comes_out_of_ray_once_and_in_order(tmp_path: Path) -> None:
    for file, (first, count) in enumerate(((0, 5000), (5000, 1), (5001, 4999))):
        parquet(tmp_path / f"{file}.parquet", count, first=first)
    drawings = open_drawings(str(tmp_path))
    rows = collected(drawings, "all", origin=True)
    assert [ink[0] / UNIT for ink in rows["ink"].to_pylist()] == list(range(10_000))
    assert rows["row"].to_pylist() == [*range(5000), 0, *range(4999)]
    assert Counter(Path(file).name for file in rows["file"].to_pylist()) == {
        "0.parquet": 5000,
        "1.parquet": 1,
        "2.parquet": 4999,
    }
    assert sketch_table.class_names_of(rows.schema) == NAMES
    assert drawings.count("all") == 10_000
    assert collected(drawings, "all").column_names == ["ink", "class_index"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_bad_record_in_a_task_of_the_cluster_reaches_the_user_as_one_line(tmp_path: Path) -> None:
    damaged = bytearray(shard(3))
    damaged[-5] ^= 1
    path = put(tmp_path / "training.tfrecord-00000-of-00001", bytes(damaged))
    drawings = open_drawings(str(path), class_names=NAMES)
    with pytest.raises(Exception, match="damaged record") as caught:
        drawings.dataset("train").materialize()
    message = str(find_user_error(caught.value))
    assert message.startswith(f"{path}: damaged record (wrong checksum of the payload) at byte ")
    assert "\n" not in message
    assert drawings.count("train") == 2  # counting leaves it out, as reading with skip does


@pytest.mark.usefixtures("ray_cluster")
def test_bad_records_count_once_however_often_they_are_read(tmp_path: Path) -> None:
    content = line(1) + b"{\n" + line(2) + line(3, "unicorn") + line(4)
    path = put(tmp_path / "x.ndjson", content)
    bad = BadRecords()
    drawings = open_drawings(str(path), class_names=NAMES, on_bad=bad)
    for _epoch in range(2):
        assert len(collected(drawings, "all")) == 3
    count, messages = bad.messages()
    assert count == bad.count == 2
    assert [message.split(": ")[0] for message in messages] == [f"{path}:2", f"{path}:4"]


@pytest.mark.usefixtures("ray_cluster")
def test_the_user_is_told_what_was_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    with counted("skip") as bad:
        for number in range(7):
            bad(UserError(f"x.ndjson:{number}: broken"))
    told = capsys.readouterr().out.splitlines()
    assert "skipped 7 drawings" in told[0]
    assert [text.split("x.ndjson:")[1] for text in told[1:6]] == [f"{n}: broken" for n in range(5)]
    assert told[6].endswith("and 2 more")
    with counted("error") as none:
        assert none is None
    assert capsys.readouterr().out == ""


@dataclass(frozen=True)
class LatePart(DemoPart):
    """The first drawings come last."""

    def tables(self, **options: Any) -> Iterator[pa.Table]:
        time.sleep(0 if self.start else 2)
        yield from super().tables(**options)


@pytest.mark.usefixtures("ray_cluster")
def test_drawings_keep_the_order_of_their_parts_whichever_is_read_first() -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    parts = tuple(LatePart(start, 10) for start in range(0, 40, 10))
    # As where only some nodes have the files: all tasks on the nodes that are named.
    node = ray.get_runtime_context().get_node_id()
    there = {"label_selector": {"ray.io/node-id": f"in({node})"}}
    drawings = Drawings("late", demo_drawings.CLASS_NAMES, {"all": parts}, reading=there)
    tables = drawings.dataset("all", origin=True).iter_batches(
        batch_size=None, batch_format="pyarrow"
    )
    assert list(chain(*(table["row"].to_pylist() for table in tables))) == list(range(40))
