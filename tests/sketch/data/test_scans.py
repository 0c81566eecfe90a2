import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rnnray.errors import UserError
from rnnray.sketch.data import scans
from rnnray.sketch.data.datasets import open_drawings


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[str]:
    """The files that are scanned, here and not on a cluster; what is kept lies in the cache."""
    names: list[str] = []

    def scan(
        _: str, missing: list[tuple[str, scans.ScannedFile]], __: object
    ) -> dict[str, scans.Scan]:
        names.extend(Path(file.path).name for _, file in missing)
        return {key: file.scan() for key, file in missing}

    monkeypatch.setattr(scans, "_scan_on_cluster", scan)
    return names


def put(path: Path, word: str, count: int, more: str = "") -> None:
    lines = [
        json.dumps({"word": word, "key_id": f"{word}{i}", "drawing": [[[0, 9, i + 1], [0, 9, 1]]]})
        for i in range(count)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + more)
    os.utime(path, (time.time() - 60,) * 2)


def test_words_and_counts_are_read_once_and_kept_until_a_file_changes(
    tmp_path: Path, scanned: list[str]
) -> None:
    data = tmp_path / "data"
    put(data / "cat.ndjson", "cat", 200)
    put(data / "dog.ndjson", "dog", 100)
    for _run in range(2):
        drawings = open_drawings(str(data))
        assert drawings.class_names == ("cat", "dog")
        assert drawings.count("all") == 300
        for split in ("train", "validation", "test"):
            read = sum(
                len(rows)
                for part in drawings.parts(split)
                for rows in part.tables(origin=False, on_bad=None)
            )
            assert drawings.count(split) == read
    assert scanned == ["cat.ndjson", "dog.ndjson"]
    put(data / "dog.ndjson", "bird", 101)
    assert open_drawings(str(data)).class_names == ("bird", "cat")
    assert scanned == ["cat.ndjson", "dog.ndjson", "dog.ndjson"]


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, scanned: list[str]) -> None:
    path = tmp_path / "x.ndjson"
    put(path, "cat", 5)
    path.touch()
    for _run in range(2):
        open_drawings(str(path))
    assert scanned == ["x.ndjson"] * 2


def test_bad_records_are_an_error_also_where_a_scan_is_kept(
    tmp_path: Path, scanned: list[str]
) -> None:
    path = tmp_path / "x.ndjson"
    put(path, "cat", 5, more="\n{broken")
    for _run in range(2):
        assert open_drawings(str(path), on_bad=lambda _: None).count("all") == 5
    assert scanned == ["x.ndjson"]
    with pytest.raises(UserError, match=r"x\.ndjson:6: broken JSON"):
        open_drawings(str(path))


def test_what_is_kept_is_not_trusted_where_it_is_damaged(
    tmp_path: Path, scanned: list[str], cache: Path
) -> None:
    path = tmp_path / "x.ndjson"
    put(path, "cat", 5)
    open_drawings(str(path))
    (kept,) = (cache / "scans").iterdir()
    for content in ("", "[1]", '{"a": {}}', "{" * 99_999):
        kept.write_text(content)
        assert open_drawings(str(path)).class_names == ("cat",)
    assert len(scanned) == 5


def test_a_source_without_one_good_record_is_no_success(tmp_path: Path, scanned: list[str]) -> None:
    path = tmp_path / "x.ndjson"
    put(path, "cat", 0, more="{broken\n{broken\n")
    with pytest.raises(UserError, match="no drawing can be used, 2 records are broken"):
        open_drawings(str(path), on_bad=lambda _: None)


def test_a_split_without_drawings_of_a_file_that_has_some_is_not_called_an_empty_file(
    tmp_path: Path, scanned: list[str]
) -> None:
    path = tmp_path / "x.ndjson"
    put(path, "cat", 1)
    drawings = open_drawings(str(path))
    none = replace(drawings.splits["all"][0], keep=scans.Share(0, 0))
    drawings = replace(drawings, splits=drawings.splits | {"test": (none,)})
    with pytest.raises(UserError, match=r"x\.ndjson: no drawings in the test split; --split all"):
        drawings.count("test")
    assert drawings.count("all") == 1
