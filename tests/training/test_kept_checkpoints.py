"""Which checkpoints stay, and from which a run goes on when storage damaged the newest."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stored_run import listed, store

from rnnray.errors import UserError
from rnnray.ray_private import CHECKPOINT_LIST
from rnnray.training.kept_checkpoints import KeepBestAndLast, fall_back


def folders(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir() if path.is_dir())


@pytest.mark.parametrize(("direction", "best"), [("max", ["epoch-0002"]), ("min", ["epoch-0004"])])
def test_the_best_checkpoint_and_the_last_two_stay(
    tmp_path: Path, direction: Any, best: list[str]
) -> None:
    scores = [0.5, 0.9, 0.3, 0.2, 0.6, 0.4]
    metrics = {f"epoch-{n:04d}": {"right": score} for n, score in enumerate(scores, 1)}
    store(tmp_path, metrics | {"epoch-0006-step-0000008": {}})
    (tmp_path / "pictures").mkdir()  # not a checkpoint
    keep = KeepBestAndLast(str(tmp_path), ("right", direction), print)
    for _ in range(2):
        keep.after_report(None, [{}], object())
        last = ["epoch-0006", "epoch-0006-step-0000008"]
        assert folders(tmp_path) == [*best, *last, "pictures"]
    # What Ray Train still lists, but would not find, is no damage.
    told: list[Any] = []
    fall_back(str(tmp_path), told.append)
    assert told == []
    assert listed(tmp_path) == ({*best, *last}, last[1])


def cut(file: str, share: float, folder: Path) -> None:
    os.truncate(folder / file, int((folder / file).stat().st_size * share))


def flip_a_bit(file: str, folder: Path) -> None:
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (partial(cut, "model.keras", 0.5), "model.keras is damaged"),
        (partial(cut, "model.keras", 0), "model.keras is damaged"),
        (partial(cut, "optimizer.npz", 0.9), "optimizer.npz is damaged"),
        (partial(cut, "position.json", 0.5), "position.json is damaged"),
        (partial(flip_a_bit, "model.keras"), "checksum"),
        (
            lambda folder: (folder / "position.json").write_text("[" * 100_000),
            "position.json is damaged",
        ),
        (lambda folder: (folder / "optimizer.npz").unlink(), "optimizer.npz is missing"),
        (shutil.rmtree, "position.json is missing"),
    ],
)
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_and_says_why(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    store(tmp_path, {"epoch-0001": {"right": 0.4}, "epoch-0002": {"right": 0.3}, "last": {}})
    told: list[dict[str, Any]] = []
    fall_back(str(tmp_path), told.append)
    assert told == []
    assert listed(tmp_path)[1] == "last"
    damage(tmp_path / "last")
    fall_back(str(tmp_path), told.append)
    (event,) = told
    assert event["kind"] == "fell_back"
    assert (event["checkpoint"], event["to"]) == ("last", "epoch-0002")
    assert words in event["reason"]
    assert listed(tmp_path) == ({"epoch-0001", "epoch-0002"}, "epoch-0002")


def test_a_run_without_a_whole_checkpoint_does_not_start_over_in_silence(tmp_path: Path) -> None:
    store(tmp_path, {"epoch-0001": {}, "epoch-0002": {}})
    before = (tmp_path / CHECKPOINT_LIST).read_bytes()
    cut("model.keras", 0.5, tmp_path / "epoch-0001")
    cut("position.json", 0, tmp_path / "epoch-0002")
    with pytest.raises(UserError, match=r"none .* is whole \(epoch-0002: position.*epoch-0001: mo"):
        fall_back(str(tmp_path), print)
    assert (tmp_path / CHECKPOINT_LIST).read_bytes() == before


@pytest.mark.parametrize("content", ["{", "[]", '{"checkpoint_results": 3}'])
def test_a_damaged_list_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / CHECKPOINT_LIST).write_text(content)
    with pytest.raises(UserError, match=f"{CHECKPOINT_LIST}: the list .* is damaged"):
        fall_back(str(tmp_path), print)


def test_a_new_run_has_nothing_to_fall_back_to(tmp_path: Path) -> None:
    fall_back(str(tmp_path / "new"), print)
    store(tmp_path, {"epoch-0001": {}})
    fall_back(str(tmp_path), print)
    assert listed(tmp_path) == ({"epoch-0001"}, "epoch-0001")
