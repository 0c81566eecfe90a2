"""What every job promises to whoever calls it: options, exit codes, the last line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import ray.exceptions
from annotated_types import Ge
from tiny import REPOSITORY, names_of_job
from tiny_chorale import write_corpus

from rnnray import job
from rnnray.errors import UserError
from rnnray.training.training_options import Config

HEAVY = {"ray", "tensorflow", "keras", "pandas", "pyarrow", "matplotlib", "boto3", "music21"}


class Inner(Config):
    size: Annotated[int, Ge(1)] = 1
    """A size."""
    name: str = "plain"
    """A name."""


class Part(Config):
    epochs: Annotated[int, Ge(1)] = 2
    """Epochs."""
    inner: Inner = Inner()
    """The inside."""


class Options(job.JobOptions):
    preset: Literal["big", "small"] = "big"
    """A preset."""
    config: str | None = None
    """A file."""


@dataclass(frozen=True)
class Parts:
    part: Part
    options: Options


@dataclass(frozen=True)
class Plain:
    part: Part
    options: job.FileOptions


PRESETS: job.Presets = {
    "big": lambda: Part(epochs=100, inner=Inner(size=100)),
    "small": lambda: Part(epochs=10, inner=Inner(size=10)),
}
MISTAKE = UserError("here.txt: no such file")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a job in this process: its exit code, its output and its errors."""

    def run(
        *arguments: str, work: Callable[[Any], dict[str, Any]] = lambda _: {}
    ) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["job.py", *arguments])
        with pytest.raises(SystemExit) as exit_:
            job.run(work, Parts, description="A job.", presets=PRESETS)
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, captured.out, captured.err

    return run


def seen(call: Call, *arguments: str) -> tuple[int, int, str]:
    """The options that a job gets: epochs, inner.size, inner.name."""
    code, out, err = call(
        *arguments,
        work=lambda config: {
            "seen": [config.part.epochs, config.part.inner.size, config.part.inner.name]
        },
    )
    assert (code, err) == (0, "")
    epochs, size, name = json.loads(out.splitlines()[-1])["seen"]
    return epochs, size, name


def raising(error: BaseException) -> Callable[[Any], dict[str, Any]]:
    def work(options: Options) -> dict[str, Any]:
        sys.stdout.write("half of the work\n")
        raise error

    return work


def test_the_last_line_is_the_result_as_json_that_any_parser_takes(call: Call) -> None:
    def work(options: Options) -> dict[str, Any]:
        sys.stdout.write("for people\n")  # of a run that diverged
        return {"train": {"loss": float("nan"), "count": 3}, "top1": float("inf"), "name": "a"}

    code, out, err = call(work=work)
    assert (code, err) == (0, "")
    people, last = out.splitlines()
    assert people == "for people"
    assert json.loads(last) == {"train": {"loss": None, "count": 3}, "top1": None, "name": "a"}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MISTAKE, "here.txt: no such file"),
        (ray.exceptions.RayTaskError("read", "Traceback\n  many lines", MISTAKE), str(MISTAKE)),
        (
            ZeroDivisionError("Traceback ...\nby zero"),
            "ZeroDivisionError: by zero (unexpected; --verbose shows where)",
        ),
        (KeyboardInterrupt(), "interrupted; the same command resumes from what was saved"),
    ],
    ids=["a mistake of the user", "inside Ray's wrapping", "a bug", "Ctrl-C"],
)
def test_a_failure_is_one_line_and_exit_code_1(call: Call, error: BaseException, line: str) -> None:
    if isinstance(error, ray.exceptions.RayTaskError):
        error = error.as_instanceof_cause()
    assert call(work=raising(error)) == (1, "half of the work\n", f"error: {line}\n")


def test_a_job_that_is_told_to_stop_closes_what_is_open_and_says_so_in_a_line(call: Call) -> None:
    closed = []

    def work(options: Options) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            closed.append(True)
        return {}

    before = signal.getsignal(signal.SIGTERM)
    code, _, err = call(work=work)
    assert (code, closed) == (143, [True])
    assert err == "error: stopped by SIGTERM; the same command resumes from what was saved\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_verbose_shows_the_traceback_and_still_ends_with_the_line(call: Call) -> None:
    code, _, err = call("--verbose", work=raising(MISTAKE))
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1] == "error: here.txt: no such file"


def test_a_refused_value_is_one_line_that_names_its_option(call: Call) -> None:
    code, _, err = call("--epochs", "0")
    assert code == 2
    assert err == "error: --epochs 0: Input should be greater than or equal to 1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "0"],
        ["--epochs", "many"],
        ["--inner.size", "0"],
        ["--no-such-option", "3"],
        ["--preset", "unknown"],
        ["--preset"],
        ["stray"],
    ],
)
def test_wrong_use_is_exit_code_2_before_anything_starts(call: Call, arguments: list[str]) -> None:
    def work(options: Options) -> dict[str, Any]:
        raise AssertionError("started")

    code, _, err = call(*arguments, work=work)
    assert code == 2
    assert err
    assert "Traceback" not in err


def test_help_is_exit_code_0_and_names_each_option(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    for name in ("--epochs", "--inner.size", "--preset", "--config", "--verbose", "A size."):
        assert name in out


def test_the_first_preset_is_the_default(call: Call) -> None:
    assert seen(call) == (100, 100, "plain")
    assert seen(call, "--preset", "small") == (10, 10, "plain")
    assert seen(call, "--preset=small") == (10, 10, "plain")


def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(
    call: Call, tmp_path: Path
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("inner: {size: 5, name: file}\n")
    # What the file does not say stays the preset's, inside nested parts too.
    assert seen(call, "--preset", "small", "--config", str(file)) == (10, 5, "file")
    arguments = ["--preset", "small", f"--config={file}", "--inner.size", "7", "--epochs", "1"]
    assert seen(call, *arguments) == (1, 7, "file")


def test_a_job_without_presets_takes_a_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("epochs: 7\ninner: {size: 5}\n")
    given: list[Plain] = []
    monkeypatch.setattr(sys, "argv", ["job.py", "--config", str(file), "--inner.size", "6"])
    with pytest.raises(SystemExit):
        job.run(lambda config: given.append(config) or {}, Plain, description="A job.")
    assert capsys.readouterr().err == ""
    assert given == [Plain(Part(epochs=7, inner=Inner(size=6)), job.FileOptions(config=str(file)))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: [", "cannot be read as YAML"),
        ("just words", "a mapping of option: value"),
        ("epoch: 3", "epoch: Extra inputs are not permitted"),
        ("inner: {sizes: 3}", "inner.sizes: Extra inputs are not permitted"),
        ("epochs: 0", "epochs: Input should be greater than or equal to 1"),
        ("inner: {size: big}", "inner.size: Input should be a valid integer"),
    ],
)
def test_a_bad_configuration_file_is_one_line_that_names_file_and_field(
    call: Call, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    code, out, err = call("--config", str(file))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {file}: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_configuration_file_that_is_not_there_or_no_text(call: Call, tmp_path: Path) -> None:
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for path in (tmp_path / "none.yaml", binary, tmp_path):
        code, _, err = call("--config", str(path))
        assert code == 1
        assert err.startswith(f"error: {path}: cannot be read as YAML")
        assert err.count("\n") == 1


def test_a_job_gets_each_part_of_its_options_as_a_configuration_of_its_own(call: Call) -> None:
    given: list[Parts] = []
    call("--epochs", "7", "--inner.size", "3", "--verbose", work=lambda c: given.append(c) or {})
    part = Part(epochs=7, inner=Inner(size=3, name="plain"))
    assert given == [Parts(part, Options(verbose=True))]


def in_a_new_process(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_neither_help_nor_wrong_use_of_any_job_waits_for_what_would_do_the_work() -> None:
    code = f"""
import contextlib, io, runpy, sys
for file in sys.argv[1:]:
    for option, expected in (("--help", 0), ("--no-such-option", 2)):
        sys.argv = [file, option]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                runpy.run_path(file, run_name="__main__")
            except SystemExit as ended:
                assert ended.code == expected, file
print(sorted({HEAVY} & set(sys.modules)))
"""
    jobs = sorted(str(file) for file in (REPOSITORY / "jobs").glob("*.py"))
    assert in_a_new_process(code, *jobs) == "[]\n"


def test_what_composes_evaluates_chorales_and_renders_needs_no_ray() -> None:
    modules = ["composer", "composing", "chorale_evaluation", "data.reference"]
    modules += ["render.rendering", "generation.dry_run"]
    imports = "".join(f"import rnnray.chorale.{name}\n" for name in modules)
    assert in_a_new_process(f"{imports}import sys\nprint('ray' in sys.modules)") == "False\n"


def test_main_of_a_job_can_be_called_without_a_process_of_its_own(tmp_path: Path) -> None:
    listen = names_of_job("listen")
    corpus = write_corpus(tmp_path / "corpus")
    options = listen["Options"](name="test:2", data=str(corpus), output=str(tmp_path / "heard"))
    result = listen["main"](options)
    assert result["name"] == "piece_2"
    assert {Path(file) for file in result["files"]} == set((tmp_path / "heard").iterdir())
