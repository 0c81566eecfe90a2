"""A cache folder of its own for each test of chorales' sources."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for the lists of files that were not taken."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RNNRAY_CACHE", str(folder))
    return folder
