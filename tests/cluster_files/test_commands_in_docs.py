"""Every command and option that the documentation names is there: read out of it and looked up."""

import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PAGES = ["README.md", "OWN_NETWORK.md", "cluster/README.md", "cluster/objectstore/README.md"]
OPTION = r"--?[a-z][a-z0-9.-]*"


def fenced_lines(text: str) -> Iterator[str]:
    """The lines of code blocks without a language, continued ones joined."""
    # All blocks are matched, or the end of one with a language would begin one without.
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if not language:
            yield from block.replace("\\\n", " ").splitlines()


def code_spans(text: str) -> list[str]:
    """What stands between backticks, outside of code blocks."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", outside)


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell as words; what stands after a `--`, or after the image of a
    `docker run`, is one of its own.
    """
    try:
        words = shlex.split(re.sub(r'^eval "\$\((.*)\)"', r"\1", line), comments=True)
    except ValueError:  # part of a quoted text of several lines: no command of ours has one
        return
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    while words:
        end = next((i for i, word in enumerate(words) if word in ("--", "&&", "|")), len(words))
        command = words[:end]
        if command[:2] == ["docker", "run"]:
            inside = next((i for i, word in enumerate(command) if ":ray" in word), len(command)) + 1
            if command[inside:]:
                yield command[inside:]
            command = command[:inside]
        if command:
            yield command
        words = words[end + 1 :]


def typed() -> dict[str, list[str]]:
    """The lines that users are told to type, or that Ray and Kubernetes run, by their file."""
    lines: dict[str, list[str]] = {}
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        lines[page] = [*fenced_lines(text), *code_spans(text)]
    text = (REPOSITORY / "cluster.yaml").read_text()
    comments = re.findall(r"^#   (.*)$", text, re.MULTILINE)
    starts = yaml.safe_load(text)
    lines["cluster.yaml"] = [
        *"\n".join(comments).replace("\\\n", " ").splitlines(),
        *starts["head_start_ray_commands"],
        *starts["worker_start_ray_commands"],
    ]
    for file in sorted((REPOSITORY / "cluster" / "kuberay").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] == "RayJob":
                lines[file.name] = [document["spec"]["entrypoint"]]
    return lines


@cache
def job_options(name: str) -> frozenset[str]:
    """The options in the --help of a file, such as jobs/compose.py; in this process, which saves
    seconds each.
    """
    file = str(REPOSITORY / name)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as shown:
        patch.setattr(sys, "argv", [file, "--help"])
        patch.syspath_prepend(str(Path(file).parent))
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit):
            runpy.run_path(file, run_name="__main__")
    return frozenset(re.findall(rf"(?<![\w-]){OPTION}", shown.getvalue()))


@cache
def ray_options(*words: str) -> frozenset[str] | None:
    """The options of a subcommand of Ray, or None where there is no such subcommand."""
    from ray.scripts.scripts import cli  # noqa: PLC0415  (seconds)

    command = cli
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return None
        command, words = command.commands[words[0]], words[1:]
    return frozenset(
        name for option in command.params for name in [*option.opts, *option.secondary_opts]
    )


@cache
def script_help(script: str, *subcommand: str) -> str:
    """What one of our own scripts says of itself, or of one of its subcommands."""
    ended = subprocess.run(
        [str(REPOSITORY / script), *subcommand, "--help"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    return ended.stdout + ended.stderr


@cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def not_to_be_had(path: Path, *, run: bool) -> str | None:
    """What is wrong with a path that stands where a command could; `run` where it surely is one."""
    if not path.exists():
        return f"{path} is not there"
    script = path.is_file() and path.read_bytes().startswith(b"#!")
    return None if os.access(path, os.X_OK) or not (run or script) else f"{path} cannot be run"


def lacking(script: str, rest: list[str], options: set[str]) -> set[str]:
    """The subcommand, or else the options, that one of our own scripts does not know."""
    subcommand = [word for word in rest[:1] if not word.startswith("-")]
    unknown = {w for w in subcommand if not re.search(rf"\b{re.escape(w)}\b", script_help(script))}
    return unknown or {each for each in options if each not in script_help(script, *subcommand)}


def problem(words: list[str]) -> str | None:
    """What is wrong with a command; None for a right one, and for other people's programs."""
    program, *rest = words[1:] if words[0] == "python" else words
    options = {word.partition("=")[0] for word in rest if re.fullmatch(rf"{OPTION}(=.*)?", word)}
    if program == "rnnray" and rest and options:
        program = f"jobs/{rest[0].replace('-', '_')}.py"
    if job := re.fullmatch(r"(?:/home/ray/rnnray/)?((?:jobs|examples)/\w+\.py)", program):
        if not (REPOSITORY / job[1]).is_file():
            return f"no job {program}"
        missing = options - job_options(job[1])
    elif program == "ray" and rest:
        subcommand = rest[: 2 if rest[0] == "job" else 1]
        known = ray_options(*subcommand)
        if known is None:
            return f"no subcommand of ray: {subcommand}"
        missing = options - known - {"--help"}
    elif program == "make" and rest:
        missing = set(rest) - make_targets()
    elif re.match(r"cluster/\S*\w$", program):
        if wrong := not_to_be_had(REPOSITORY / program, run=bool(rest)):
            return wrong
        missing = lacking(program, rest, options)
    else:
        return None
    return f"{program} has no {sorted(missing)}" if missing else None


@pytest.mark.parametrize("file", sorted(typed()))
def test_every_command_in_the_documentation_exists(file: str) -> None:
    found = [command for line in typed()[file] for command in commands(line)]
    problems = {" ".join(words): wrong for words in found if (wrong := problem(words))}
    assert problems == {}
    ours = [
        w for w in found if re.search(r"^(python|ray|make)$|(jobs|examples)/\w|^cluster/\w", w[0])
    ]
    # A page whose commands are not recognised would pass unread.
    assert len(ours) >= {"README.md": 30, "cluster/README.md": 30}.get(file, 1)


@pytest.mark.parametrize("page", PAGES)
def test_every_option_in_the_text_is_one_of_a_job_or_of_ray(page: str) -> None:
    files = [*REPOSITORY.glob("jobs/*.py"), *REPOSITORY.glob("examples/*.py")]
    jobs = [str(file.relative_to(REPOSITORY)) for file in files]
    known = {option for name in jobs for option in job_options(name)}
    known |= ray_options("start") or frozenset()
    for about in (script_help("cluster/local/nodes"), script_help("cluster/local/nodes", "up")):
        known |= set(re.findall(r"--[\w-]+", about))
    known |= {"--gpus"}  # of docker
    spans = code_spans((REPOSITORY / page).read_text())
    named = {span.split()[0].partition("=")[0] for span in spans if span.startswith("--")}
    assert named <= known


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_linked_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([\w-]+))?\)", text)
    for path, anchor in links:
        target = REPOSITORY / page if not path else REPOSITORY / Path(page).parent / path
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "line",
    [
        "jobs/train_sketches.py --data demo",
        "jobs/train_sketch.py --data demo --worker 2",
        "examples/own_network.py --unit 8",
        "rnnray train-sketches --data demo",
        "ray job submit --adress http://127.0.0.1:8265 -- jobs/train_sketch.py --data demo",
        "ray job submit --working-dir . -- jobs/train_sketch.py --date demo",
        "ray job send -- jobs/train_sketch.py",
        "ray begin --head",
        "make tests",
        "cluster/local/nodes up --worker-count 2",
        "RAY_AUTH_MODE=token ray up --yess cluster.yaml",
        "docker run --rm rnnray:ray2.60.0-cpu jobs/train_sketch.py --data demo --epoch 1",
        "docker run --detach rnnray:ray2.60.0-cpu ray start --heads --block",
        "cluster/local/soaks.py",
        "cluster/local/soaks.py --minutes 5",
        "cluster/local/soak.py --hours 5",
        "cluster/kubray",
    ],
)
def test_a_mistaken_command_is_found(line: str) -> None:
    assert [wrong for words in commands(line) if (wrong := problem(words))]
