"""The parts that all files in jobs/ share: options, errors, SIGTERM, exit codes, the last line.

A job is a function `main(config)` that imports its libraries in its body, so that --help and wrong
use need none of the seconds of Ray and TensorFlow.

Exit codes: 0 done, 1 failed, 2 wrong use, 143 ended by SIGTERM. The last line of stdout is one JSON
object.
"""

import dataclasses
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from types import FrameType
from typing import Annotated, Any, NoReturn, Self, TypeVar, cast, get_type_hints

import tyro
from annotated_types import Ge
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    create_model,
    model_validator,
)
from tyro.constructors._struct_spec_pydantic import pydantic_rule  # private; tried with 1.0.17

from rnnray.errors import Terminated, UserError, find_user_error
from rnnray.progress import printable
from rnnray.training.training_options import Config
from rnnray.uris import check_uri
from rnnray.yaml_file import read_file


class WrongUse(UserError):  # noqa: N818
    """The value of an option is refused: exit code 2."""

    def __init__(self, message: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = problems
        """All that pydantic found."""


class JobOptions(Config):
    """Options of every job."""

    verbose: bool = False
    """Show tracebacks and the logs of Ray's workers."""

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_in_one_line(cls, values: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        """Raise the first problem as one line; pydantic's text has many, in a box of tyro's."""
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
                check_uri(value)  # before any message can repeat a secret in it
        return options


class FileOptions(JobOptions):
    """Options of jobs without presets whose options may stand in a file.

    A job with presets of its own adds a field `preset`, the `Literal` of their names.
    """

    config: str | None = None
    """YAML file with values of these options; the command line overrides it."""


BatchWorkers = Annotated[
    Annotated[int, Ge(1)] | None,
    Field(
        description="Number of processes that compute; by default one for each GPU or, on CPUs, "
        "one less than there are CPUs, at most 8."
    ),
]


class PresetOptions(JobOptions):
    """Options of jobs that train. A job narrows `preset` to the names of its presets."""

    preset: str = "strong"
    """Preset that gives the other defaults."""
    config: str | None = None
    """YAML file with values of these options; it overrides the preset, and the command line
    overrides it."""


program: str | None = None
"""Name that the help begins with; by default the file's."""

JobConfig = TypeVar("JobConfig")
Presets = Mapping[str, Callable[[], Config]]


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM close open things, as Ctrl-C does; a second one ends the process at once."""

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
    main: Callable[[JobConfig], dict[str, Any]],
    config_type: type[JobConfig],
    *,
    description: str,
    presets: Presets | None = None,
) -> NoReturn:
    """Parse the command line, call `main`, print its result, exit.

    Args:
        main: the job; its result is the last line.
        config_type: the class of `main`'s argument: `JobOptions`, or a dataclass of several
            configurations, the last of which is `JobOptions`. The command line has the fields of
            all of them side by side, and their docstrings are the help.
        description: description of the job, for `--help`.
        presets: configurations by name, whose values are the defaults of the options. The option
            --preset chooses among them, and --config names a file (see `FileOptions`). The command
            line wins over the file, the file over the preset.
    """
    arguments = sys.argv[1:]
    verbose = "--verbose" in arguments
    try:
        result = main(_parse(config_type, arguments, description, presets or {}))
    except KeyboardInterrupt:
        _fail("interrupted; the same command resumes from what was saved")
    except Terminated:
        _fail(
            "stopped by SIGTERM; the same command resumes from what was saved",
            code=128 + signal.SIGTERM,
        )
    except BrokenPipeError:  # the reader has gone, as in `--help | head`
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


def options_of(config_type: Any) -> Any:
    """Return the class of a job's options: the fields of all parts of its configuration.

    Args:
        config_type: see `run`.
    """
    if issubclass(config_type, JobOptions):
        return config_type
    # Pydantic puts the fields of the last base class first.
    bases = tuple(reversed(get_type_hints(config_type).values()))
    return create_model("Options", __base__=bases)


def _parse(
    config_type: type[JobConfig], arguments: list[str], description: str, presets: Presets
) -> JobConfig:
    parts, options_type = {}, options_of(config_type)
    if options_type is not config_type:
        parts = get_type_hints(config_type)
    default: Any = tyro.MISSING_NONPROP
    # The defaults must be known before tyro parses the command line.
    preset = _value_of(arguments, "--preset") or next(iter(presets), "")
    values: dict[str, Any] = {}
    if preset in presets:  # tyro reports an unknown one
        values = presets[preset]().model_dump() | {"preset": preset}
    file = _value_of(arguments, "--config") if "config" in options_type.model_fields else None
    if file is not None:
        values = _merged(values, read_file(file))
    if presets or file is not None:
        default = _validated(options_type, values, file or f"preset {preset}")
    _reflow(options_type)
    options = tyro.cli(
        options_type,
        registry=_PARTS_AS_MAPPINGS,
        prog=program,
        description=_one_line_a_paragraph(description),
        default=default,
        args=arguments,
    )
    if not parts:
        return cast(JobConfig, options)
    return config_type(**{name: _part_of(options, kind) for name, kind in parts.items()})


_PARTS_AS_MAPPINGS = tyro.constructors.ConstructorRegistry()


@_PARTS_AS_MAPPINGS.struct_rule
def _part_as_mapping(
    info: tyro.constructors.StructTypeInfo,
) -> tyro.constructors.StructConstructorSpec | None:
    """Leave the checks of nested configurations to `JobOptions`, which refuses in one line."""
    if not (isinstance(info.type, type) and issubclass(info.type, Config)):
        return None
    spec = pydantic_rule(info)
    if spec is None or issubclass(info.type, JobOptions):
        return spec
    return dataclasses.replace(spec, instantiate=dict)


def _reflow(config_type: Any) -> None:
    """Have help texts wrap where the terminal ends, and not where their docstrings' lines do."""
    for field in config_type.model_fields.values():
        field.description = _one_line_a_paragraph(field.description or "") or None
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            _reflow(field.annotation)


def _one_line_a_paragraph(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _value_of(arguments: list[str], option: str) -> str | None:
    """Return the value of an option on the command line, the last one if it is given twice."""
    value = None
    for argument, following in zip_longest(arguments, arguments[1:]):
        name, equals, text = argument.partition("=")
        if name == option:
            value = text if equals else following
    return value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings; `above` wins."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _validated(options_type: Any, values: dict[str, Any], where: str) -> Any:
    try:
        return options_type.model_validate(values)
    except WrongUse as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.problems
        )
        raise UserError(f"{where}: {problems}") from error


def _part_of(options: Config, kind: type[Config]) -> Config:
    """Return the fields of options that belong to one of their base classes, as that class."""
    return kind.model_validate({name: getattr(options, name) for name in kind.model_fields})


def finite(value: Any) -> Any:
    """Return the value with null in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fail(message: str, code: int = 1) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"error: {printable(' '.join(message.split()))}\n")
    sys.exit(code)


def _last_line(error: BaseException) -> str:
    """Return the exception's class and the last line of its text; Ray's begin with tracebacks."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__
