"""What a stranger may hand over, and whether it ran."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._canary),)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A path at which something appears when code of a stranger's file runs."""
    canary = tmp_path / "canary"
    yield canary
    assert not canary.exists(), "a stranger's code ran"


@pytest.fixture
def evil(canary: Path) -> Evil:
    """An object that makes the canary when it is unpickled."""
    return Evil(canary)


@pytest.fixture
def evil_pickle(evil: Evil) -> bytes:
    """A pickle that makes the canary."""
    return pickle.dumps(evil)
