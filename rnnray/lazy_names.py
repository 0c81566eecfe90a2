"""Names of a package that are imported from its modules when they are first used."""

import importlib
from collections.abc import Mapping
from typing import Any


def look_up(package: str, sources: Mapping[str, str], name: str) -> Any:
    """Return what a package's `__getattr__` is asked for.

    Args:
        package: name of the package.
        sources: from names to module and name below the package, such as "rows.Blocks"; with a dot
            before it, below the package's own.
        name: the name that is asked for.

    Raises:
        AttributeError: the package has no such name.
    """
    if name not in sources:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module, _, attribute = sources[name].rpartition(".")
    return getattr(importlib.import_module(f".{module}", package), attribute)
