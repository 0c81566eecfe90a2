"""OWN_NETWORK.md shows the files that the tests run, to the letter."""

import re

import pytest
from tiny import REPOSITORY

PAGE = (REPOSITORY / "OWN_NETWORK.md").read_text()


@pytest.mark.parametrize("name", ["own_network.py", "own_sweep.py"])
def test_the_page_has_the_file_verbatim(name: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert (REPOSITORY / "examples" / name).read_text() in blocks


def test_the_file_has_as_few_lines_as_the_documentation_says() -> None:
    assert len((REPOSITORY / "examples/own_network.py").read_text().splitlines()) <= 80
