"""Modules that cost seconds, as TensorFlow does: collecting the tests does not wait for them."""

import importlib
from typing import Any


class Lazily:
    """A module that is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_mock")):  # pytest looks at all that a file of tests has
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)


keras = Lazily("keras")
tf = Lazily("tensorflow")
