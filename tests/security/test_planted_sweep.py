"""Ray Tune unpickles its own state to go on with a sweep: of somebody else's, it must not."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rnnray.chorale.chorale_config import notebook
from rnnray.chorale.chorale_tuning import ChoraleProblem
from rnnray.chorale.data import chorale_table
from rnnray.errors import UserError
from rnnray.tuning import space, sweep
from rnnray.tuning.sweep_options import SweepOptions


class Began(Exception):  # noqa: N818
    """A sweep would have begun here."""


@pytest.fixture
def go_on(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil_pickle: bytes
) -> Callable[[], Any]:
    """Goes on with a sweep whose state somebody has planted in its folder, tmp_path/runs/sweep."""
    chords = np.tile(np.array([72, 67, 60, 48], np.int16), (64, 1))
    corpus = chorale_table.from_chorales([("a", "train", chords), ("b", "valid", chords)])
    config = notebook()
    problem = ChoraleProblem(config, ray.put(corpus))
    searched = space.parse({"model.dropout": [0.1, 0.2]}, config, "here")
    options = SweepOptions(storage_path=str(tmp_path / "runs"))

    def begin(*_: object, **__: object) -> None:
        raise Began

    with monkeypatch.context() as patched:
        patched.setattr(sweep, "TuneConfig", begin)
        with pytest.raises(Began):
            sweep.run(problem, searched, options)
    (tmp_path / "runs" / "sweep" / "tuner.pkl").write_bytes(evil_pickle)
    return lambda: sweep.run(problem, searched, options)


def of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    return folder


def open_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    del monkeypatch
    folder.chmod(0o777)
    return folder


def open_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    del monkeypatch
    (folder / "tuner.pkl").chmod(0o666)
    return folder / "tuner.pkl"


@pytest.mark.parametrize("open_up", [of_another_user, open_folder, open_file])
def test_a_sweep_that_others_can_write_is_not_gone_on_with(
    go_on: Callable[[], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_up: Callable[[Path, pytest.MonkeyPatch], Path],
) -> None:
    named = open_up(tmp_path / "runs" / "sweep", monkeypatch)
    with pytest.raises(UserError, match="others can write there") as caught:
        go_on()
    assert caught.value.args[0].startswith(f"{named}: ")
    assert len(caught.value.args[0].splitlines()) == 1


def test_a_sweep_of_one_s_own_is_gone_on_with(
    go_on: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(*_: object, **__: object) -> None:
        raise Began

    monkeypatch.setattr(sweep.Tuner, "restore", restore)
    with pytest.raises(Began):
        go_on()
