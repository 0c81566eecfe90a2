"""What the tests of chorales' sources share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lists of files that were not taken go."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RNNRAY_CACHE", str(folder))
    return folder
