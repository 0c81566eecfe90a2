"""Search spaces: the fields of a configuration that a sweep varies, and their ranges or choices.

In YAML a space is a mapping from fields to ranges or choices. A field of a nested part has its
path:

    optimizer.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    model.dilated_layers: {low: 1, high: 8}
    model.lstm_units: [128, 256, 512]

Any field can be searched. A range gives whole numbers if the field takes only these.

Values are drawn with Python's own generator, so that a seed gives the same trials with any version
of Ray. Ray Tune's domains would draw others: with NumPy, and without the upper end of a range.
"""

import difflib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from rnnray.errors import UserError
from rnnray.training.training_options import Config
from rnnray.yaml_file import read_file

AnyConfig = TypeVar("AnyConfig", bound=Config)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Draw as often from 0.001 to 0.01 as from 0.01 to 0.1."""
    whole: bool = False
    """Whole numbers only."""

    def draw(self, rng: random.Random) -> float:
        """Return a random number of the range."""
        if self.log:
            number = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        elif self.whole:
            return rng.randint(int(self.low), int(self.high))
        else:
            number = rng.uniform(self.low, self.high)
        number = min(max(number, self.low), self.high)
        return round(number) if self.whole else number


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Any, ...]

    def draw(self, rng: random.Random) -> Any:
        """Return a random one of the values."""
        return rng.choice(self.values)


Space = Mapping[str, Range | Choice]
"""From a field's path, such as optimizer.learning_rate, to its range or choice."""


def read(file: str | None, default: Mapping[str, Any], config: Config) -> Space:
    """Return the search space of a YAML file, or the default one, checked.

    Args:
        file: path of the YAML file; None for the default space.
        default: the default space, as YAML would have it.
        config: configuration whose fields are searched.

    Raises:
        UserError: the file cannot be read, or see `parse`.
    """
    values = default if file is None else read_file(file)
    return parse(values, config, file or "the default space")


def parse(values: Any, config: Config, where: str) -> dict[str, Range | Choice]:
    """Return a search space as YAML has it, checked against the configuration that it varies.

    Args:
        values: a mapping as in the module's example.
        config: configuration that must accept each bound and choice in its field.
        where: name of the space, for messages.

    Raises:
        UserError: an unknown field (similar ones are named), an impossible range, or a value that
            the field does not accept.
    """
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"{where}: a search space maps fields to ranges or choices")
    fields = _fields(config)
    space: dict[str, Range | Choice] = {}
    for name, spec in values.items():
        if name not in fields:
            raise UserError(
                f"{where}: {name!r} is not a field of the configuration{_near(name, fields)}"
            )
        searched = _read(spec, _is_whole(fields[name]), f"{where}: {name}")
        ends = searched.values if isinstance(searched, Choice) else (searched.low, searched.high)
        for end in ends:
            try:
                with_values(config, {name: end})
            except UserError as error:
                raise UserError(f"{where}: {error}") from error
        space[name] = searched
    return space


def with_values(config: AnyConfig, values: Mapping[str, Any]) -> AnyConfig:
    """Return the configuration with some fields, given by path, set to other values, and checked.

    Raises:
        UserError: a field does not accept its value; the field is named.
    """
    tree = config.model_dump()
    for name, value in values.items():
        part = tree
        *path, last = name.split(".")
        for key in path:
            part = part[key]
        part[last] = value
    try:
        return type(config).model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"])) or ", ".join(values)
        raise UserError(f"{field}: {problem['msg']} (not {problem['input']!r})") from error


def _read(spec: Any, whole: bool, where: str) -> Range | Choice:
    if isinstance(spec, list):
        if not spec:
            raise UserError(f"{where}: no choices")
        return Choice(tuple(tuple(v) if isinstance(v, list) else v for v in spec))
    known = {"low", "high", "log"}
    if not isinstance(spec, Mapping) or not {"low", "high"} <= spec.keys() <= known:
        raise UserError(f"{where}: write a list of choices, or {{low: 1, high: 8}} (log: true)")
    low, high, log = spec["low"], spec["high"], spec.get("log", False)
    numbers = all(
        isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end)
        for end in (low, high)
    )
    # YAML 1.1 reads 1e-4 as text; 1.0e-4 is a number.
    if not numbers or not isinstance(log, bool):
        raise UserError(f"{where}: low and high are numbers such as 1.0e-4, log is true or false")
    if low >= high or (log and low <= 0) or (whole and not float(low).is_integer()):
        raise UserError(
            f"{where}: {low:g} to {high:g} is not a range"
            + (" on a logarithmic scale" if log else "")
        )
    return Range(low, high, log, whole)


def _fields(config: Config, prefix: str = "") -> dict[str, FieldInfo]:
    """Return all fields by path; nested parts are replaced by their fields."""
    found: dict[str, FieldInfo] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            found |= _fields(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def _is_whole(field: FieldInfo) -> bool:
    """Return whether a field takes whole numbers only."""
    adapter: TypeAdapter[Any] = TypeAdapter(field.annotation or Any)
    try:
        adapter.validate_python(0.5)
    except ValidationError:
        return True
    return False


def _near(name: Any, fields: Mapping[str, Any]) -> str:
    last = str(name).rpartition(".")[2]
    near = [path for path in fields if path.rpartition(".")[2] == last]
    similar = difflib.get_close_matches(str(name), fields, n=3, cutoff=0.6)
    near += [path for path in similar if path not in near]
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""
