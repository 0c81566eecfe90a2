"""Sweeps: Ray Tune searches the fields of a configuration.

The names below are for networks of one's own (OWN_NETWORK.md). Each is imported when it is first
used: Ray takes seconds.
"""

from typing import TYPE_CHECKING, Any

from rnnray.lazy_names import look_up

if TYPE_CHECKING:
    from rnnray.tuning.best import find
    from rnnray.tuning.space import read as read_space
    from rnnray.tuning.sweep_options import SweepOptions
    from rnnray.tuning.trial import Problem

__all__ = ["Problem", "SweepOptions", "find", "read_space"]

_SOURCES = {
    "Problem": "trial.Problem",
    "SweepOptions": "sweep_options.SweepOptions",
    "find": "best.find",
    "read_space": "space.read",
}


def __getattr__(name: str) -> Any:
    return look_up(__name__, _SOURCES, name)
