"""YAML from strangers runs nothing, fills no memory, and ends in one line that names it."""

from pathlib import Path

import pytest
from tiny import RunJob

from rnnray import run_folder
from rnnray.chorale.composer import read_checkpoint as read_composer
from rnnray.errors import UserError
from rnnray.sketch.classifier import read_checkpoint as read_classifier
from rnnray.yaml_file import read_file, read_mapping


def bomb() -> str:
    """A hundred million values in nine lines."""
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    return "\n".join([*lines, "data: *h", "model: *h"])


def planted(canary: Path) -> dict[str, str]:
    """What no configuration has."""
    return {
        "call": f"data: !!python/object/apply:os.mkdir ['{canary}']",
        "new": f"data: !!python/object/new:os.mkdir ['{canary}']",
        "name": "data: !!python/name:os.system",
        "module": "data: !!python/module:os",
        "bomb": bomb(),
        "deep": "data: " + "[" * 3000,
        "date": "data: 2024-99-99",
        "digits": "data: " + "9" * 5000,
        "bytes": "data: \x00\x01",
        "list": "- data",
    }


NAMES = list(planted(Path()))


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_configuration_is_one_line_and_nothing_of_it_runs(
    canary: Path, tmp_path: Path, name: str
) -> None:
    text = planted(canary)[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in ("config.yaml", "position.json", "classes.txt"):
        (folder / file).write_text(text)
    for read in (
        lambda: read_mapping(text, "config.yaml"),
        lambda: read_composer(str(folder)),
        lambda: read_classifier(str(folder)),
        lambda: run_folder.save_or_compare(str(folder), "config.yaml", {"data": "demo"}, "a run"),
    ):
        with pytest.raises(UserError, match=r"config\.yaml: ") as caught:
            read()
        assert len(caught.value.args[0].splitlines()) == 1
        assert len(caught.value.args[0]) < 500


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_option_file_is_one_line_and_nothing_of_it_runs(
    run_here: RunJob, canary: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(planted(canary)[name])
    line = run_here("train_sketch", "--config", str(file), "--data", "demo:100").failed_with()
    assert str(file) in line
    assert len(line) < 500
    with pytest.raises(UserError, match=r"given\.yaml: "):  # as of --space
        read_file(str(file))


def test_plain_yaml_is_read_as_ever() -> None:
    text = "model: {units: 8, filters: [8, 8, 8]}\nname: 'a*b & c'\n"
    expected = {"model": {"units": 8, "filters": [8, 8, 8]}, "name": "a*b & c"}
    assert read_mapping(text, "x") == read_mapping(text.encode(), "x") == expected
