"""The cluster's YAML files say what they look like: no key twice, no odd indentation."""

from pathlib import Path

import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

REPOSITORY = Path(__file__).parents[2]
FILES = [REPOSITORY / "cluster.yaml", *sorted((REPOSITORY / "cluster").rglob("*.yaml"))]
CONFIG = YamlLintConfig(
    """
    extends: default
    rules:
      line-length: {max: 130}
      document-start: disable
      comments: {min-spaces-from-content: 1}
    """
)


def lint(text: str) -> list[str]:
    return [f"{found.line}: {found.desc}" for found in linter.run(text, CONFIG)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_the_linter_finds_nothing(file: Path) -> None:
    assert lint(file.read_text()) == []


def test_a_key_that_is_given_twice_is_found() -> None:
    """YAML keeps the last one without a word: the limit above it would be gone."""
    assert lint("limits: {cpu: 1, cpu: 2}\n") == ['1: duplication of key "cpu" in mapping']
