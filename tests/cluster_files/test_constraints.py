"""constraints.txt: what an environment, or an image, has today it has tomorrow."""

import re
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]


def pinned(file: Path) -> dict[str, str]:
    """The version of each package; every line is a comment or an exact version."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pairs = [line.split("==") for line in lines]
    assert len({canonicalize_name(name) for name, _ in pairs}) == len(pairs)
    return {canonicalize_name(name): version for name, version in pairs}


def wanted(package: str, extra: str) -> Iterator[Requirement]:
    """What an extra of an installed package wants."""
    for line in requires(package) or ():
        each = Requirement(line)
        if each.marker is not None and each.marker.evaluate({"extra": extra}):
            yield each


@pytest.mark.parametrize("file", ["constraints.txt", "cluster/objectstore/requirements.txt"])
def test_every_version_is_exact(file: str) -> None:
    assert pinned(REPOSITORY / file)


def test_a_gpu_image_has_the_same_cuda_libraries_whenever_it_is_built() -> None:
    """No machine without a GPU installs them, and none would notice."""
    pins = pinned(REPOSITORY / "constraints.txt")
    cuda = [each for each in wanted("tensorflow", "and-cuda") if each.name.startswith("nvidia-")]
    assert len(cuda) > 8
    for each in cuda:
        assert pins[canonicalize_name(each.name)] in each.specifier


def test_audit_looks_all_pins_up() -> None:
    (recipe,) = re.findall(
        r"^audit:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
    )
    for file in ("constraints.txt", "cluster/objectstore/requirements.txt"):
        assert f"--requirement {file}" in recipe
