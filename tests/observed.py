"""What tests see of a run from outside: its files, and that something has happened."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


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
