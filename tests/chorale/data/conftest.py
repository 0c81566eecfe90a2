"""A cache folder of its own for each test of chorales' sources."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(cache: Path) -> Path:
    """Folder for the lists of files that were not taken."""
    return cache
