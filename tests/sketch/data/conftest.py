"""Real drawings, read once."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[4] / "shared/data/quickdraw_simplified_sample.ndjson.gz"


@pytest.fixture(scope="session")
def real_drawings() -> list[Any]:
    """The strokes of 6,890 drawings, simplified as the official files have them."""
    if not FILE.is_file():
        pytest.skip("the real drawings are not here")
    with gzip.open(FILE) as lines:
        return [json.loads(line)["drawing"] for line in lines]
