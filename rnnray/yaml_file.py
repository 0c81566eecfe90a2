"""YAML from untrusted files: plain values, and no more of them than the file shows."""

from pathlib import Path
from typing import Any

import yaml

from rnnray.errors import UserError


class _PlainLoader(yaml.SafeLoader):
    """Loads no objects, as SafeLoader, and no aliases: ten lines of them make a billion values."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed; write the value out")
        return super().compose_node(parent, index)


def read_mapping(content: bytes | str, where: str) -> dict[str, Any]:
    """Return the mapping in the content of a YAML file.

    Args:
        content: content of the file, UTF-8.
        where: name of the file, for messages.

    Raises:
        UserError: the content is not YAML, not a mapping, or has things that only other programs
            read: objects, aliases, thousands of levels.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        values = yaml.load(text, _PlainLoader)
    # ValueError: not UTF-8, an impossible date, a number of thousands of digits.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = (str(error).strip().splitlines() or [""])[-1].strip()
        raise UserError(
            f"{where}: cannot be read as YAML ({type(error).__name__}: {line})"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{where}: a configuration must be a mapping of option: value")
    return values


def read_file(file: str) -> dict[str, Any]:
    """Return the mapping in a local YAML file.

    Raises:
        UserError: there is no such file, or see `read_mapping`.
    """
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{file}: cannot be read as YAML ({reason})") from error
    return read_mapping(content, file)
