"""What every file in jobs/ has in common: options, errors, exit codes, the last line.

Exit codes: 0 done, 1 failed, 2 wrong use, 143 ended by SIGTERM. The last line of stdout is one JSON
object.
"""

import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self, TypeVar

import tyro
from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from rnnray import cluster, storage
from rnnray.errors import Terminated, UserError, find_user_error
from rnnray.progress import printable
from rnnray.training.config import Config
from rnnray.yaml_file import read_mapping


class WrongUse(UserError):  # noqa: N818
    """An option's value is refused: exit code 2."""

    def __init__(self, message: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = problems
        """All that pydantic found."""


class JobOptions(Config):
    """Options of every job."""

    verbose: bool = False
    """Show tracebacks and the logs of Ray's workers."""

    def needs_dashboard(self) -> bool:
        """Whether the job needs Ray's dashboard, if it starts a cluster of its own."""
        return False

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_in_one_line(cls, values: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        """A ValidationError is many lines, and tyro draws a box around them."""
        try:
            options = check(values)
        except ValidationError as error:
            problems = error.errors()
            first = problems[0]
            message = first["msg"].removeprefix("Value error, ")
            if first["loc"]:
                option = ".".join(part for part in first["loc"] if isinstance(part, str))
                given = "" if isinstance(first["input"], dict) else f" {first['input']}"
                message = f"--{option.replace('_', '-')}{given}: {message}"
            raise WrongUse(message, problems) from error
        for value in vars(options).values():
            if isinstance(value, str):
                storage.check_place(value)  # before anything repeats what is secret in it
        return options


Options = TypeVar("Options", bound=JobOptions)
Part = TypeVar("Part", bound=Config)
Presets = Mapping[str, Callable[[], Config]]


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM close what is open, as Ctrl-C does; a second one ends the process at once."""

    def terminate(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@_sigterm_raises()
def run(
    options_type: type[Options],
    work: Callable[[Options], dict[str, Any]],
    *,
    description: str,
    presets: Presets | None = None,
    needs_ray: bool = True,
) -> NoReturn:
    """Parse the command line, connect to Ray, do the work, print its result, exit.

    Args:
        options_type: what the command line is parsed into; its fields' docstrings are the help.
        work: takes the options, returns what the last line shows.
        description: of the job, for `--help`.
        presets: configurations by name, whose values are the defaults of the options. The options
            `preset` and `config` (a YAML file) choose among them; the command line wins over the
            file, the file over the preset.
        needs_ray: false for jobs of one process, which start seconds earlier without Ray.
    """
    arguments = sys.argv[1:]
    verbose = "--verbose" in arguments
    try:
        options = _parse(options_type, arguments, description, presets or {})
        if needs_ray:
            cluster.connect(verbose=options.verbose, dashboard=options.needs_dashboard())
        result = work(options)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from what was stored")
    except Terminated:
        _fail(
            "told to stop (SIGTERM); the same command goes on from what was stored",
            code=128 + signal.SIGTERM,
        )
    except BrokenPipeError:  # as in `--help | head`: nobody reads on
        os._exit(1)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        user_error = find_user_error(error)
        if user_error is not None:
            _fail(str(user_error), code=2 if isinstance(user_error, WrongUse) else 1)
        _fail(f"{_last_line(error)} (unexpected; --verbose shows where)")
    sys.stdout.write(json.dumps(finite(result), allow_nan=False) + "\n")
    sys.stdout.flush()
    sys.exit(0)


def _parse(
    options_type: type[Options], arguments: list[str], description: str, presets: Presets
) -> Options:
    default: Any = tyro.MISSING_NONPROP
    if presets:
        # The defaults must be known before the rest of the command line is parsed.
        preset = _value_of(arguments, "--preset") or next(iter(presets))
        values: dict[str, Any] = {}
        if preset in presets:  # tyro says what is wrong with an unknown one
            values = presets[preset]().model_dump() | {"preset": preset}
        file = _value_of(arguments, "--config")
        if file is not None:
            values = _merged(values, read_yaml(file))
        default = _validated(options_type, values, file or f"preset {preset}")
    options: Options = tyro.cli(
        options_type, description=description, default=default, args=arguments
    )
    return options


def _value_of(arguments: list[str], option: str) -> str | None:
    """The value of an option on the command line, the last one where it is given twice."""
    value = None
    for argument, following in zip_longest(arguments, arguments[1:]):
        name, equals, text = argument.partition("=")
        if name == option:
            value = text if equals else following
    return value


def read_yaml(file: str) -> dict[str, Any]:
    """A YAML file that is a mapping; a `UserError` where it is none."""
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise UserError(
            f"{file}: not a YAML file that can be read ({_last_line(error)})"
        ) from error
    return read_mapping(content, file)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; `above` wins."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _validated(options_type: type[Options], values: dict[str, Any], where: str) -> Options:
    try:
        return options_type.model_validate(values)
    except WrongUse as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.problems
        )
        raise UserError(f"{where}: {problems}") from error


def part_of(options: Config, kind: type[Part]) -> Part:
    """The fields of an options class that belong to one of its base classes, as that class."""
    return kind.model_validate({name: getattr(options, name) for name in kind.model_fields})


def finite(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fail(message: str, code: int = 1) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"error: {printable(' '.join(message.split()))}\n")
    sys.exit(code)


def _last_line(error: BaseException) -> str:
    """The exception's class and the last line of its text: Ray's texts begin with tracebacks."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__
