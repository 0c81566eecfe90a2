"""What tests see from outside: files, errors, and that something has happened."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnnray.errors import UserError


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(use: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """What the user is told of a call that is refused: one line."""
    with pytest.raises(UserError) as caught:
        use(*arguments, **options)
    assert "\n" not in caught.value.args[0]  # of which `str` would show the first line alone
    return str(caught.value)


def wait_until(
    happened: Callable[[], bool],
    process: "subprocess.Popen[str] | None" = None,
    *,
    seconds: float = 240,
) -> None:
    """Wait until a function is true, for `seconds` at most, and only while `process` is at work."""
    deadline = time.monotonic() + seconds
    while not happened():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended too early: {process.communicate()}")
        assert time.monotonic() < deadline
        time.sleep(0.01)
