"""What the tests of the cluster's files share."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def ray_version() -> str:
    """Ray's version in constraints.txt, which all nodes must run."""
    pins = (REPOSITORY / "constraints.txt").read_text()
    version = re.search(r"^ray==(\S+)$", pins, re.MULTILINE)
    assert version is not None
    return version[1]
