"""The axes of a sweep's plots: positions and ticks for the values of a searched field."""

import math
import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rnnray.tuning.trial_curve import TrialCurve

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Field:
    """The positions of a field's values, and its labelled ticks, along an axis from 0 to 1."""

    label: str
    positions: _Floats
    ticks: Mapping[float, str]
    is_choice: bool


def fields_of(
    trials: Sequence[TrialCurve], log: Container[str], choices: Container[str]
) -> list[Field]:
    """Return the searched fields of some trials.

    Args:
        trials: trials that all have the same fields.
        log: paths of the fields on a logarithmic scale.
        choices: paths of the fields whose values are categories.

    Raises:
        ValueError: there are no fields.
    """
    names = list(trials[0].values)
    if not names:
        raise ValueError("no searched fields: there is nothing to draw scores against")
    lasts = Counter(name.rpartition(".")[2] for name in names)
    fields = []
    for name in names:
        last = name.rpartition(".")[2]
        values = [trial.values[name] for trial in trials]
        is_choice = name in choices or not all(map(_is_number, values))
        if is_choice:
            positions, low, high, ticks = _categories(values)
        else:
            positions, low, high, ticks = _numbers(np.array(values, np.float64), name in log)
        fields.append(
            Field(
                (last if lasts[last] == 1 else name.replace(".", " ")).replace("_", " "),
                (positions - low) / (high - low),
                {(position - low) / (high - low): text for position, text in ticks.items()},
                is_choice,
            )
        )
    return fields


def _categories(values: Sequence[Any]) -> tuple[_Floats, float, float, dict[float, str]]:
    kinds = {_text(value): value for value in values}
    try:
        texts = sorted(kinds, key=kinds.__getitem__)
    except TypeError:  # values of several types, such as 5.0 and none
        texts = sorted(kinds)
    positions = np.array([texts.index(_text(value)) for value in values], np.float64)
    every = math.ceil(len(texts) / 24)
    ticks = {float(k): texts[k] for k in range(0, len(texts), every)}
    return positions, -0.5, len(texts) - 0.5, ticks


def _numbers(values: _Floats, log: bool) -> tuple[_Floats, float, float, dict[float, str]]:
    log = log and bool((values > 0).all())
    whole = bool((values == values.round()).all())
    positions = np.log10(values) if log else values
    low, high = float(positions.min()), float(positions.max())
    if low == high:
        margin = 0.3 if log else 1 if whole else abs(low) / 2
        low, high = low - margin, high + margin
    ticks = _log_ticks(low, high) if log else ticks_of(low, high, 8 if whole else 5, whole)
    return positions, low, high, ticks


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    """Return a value roughly as YAML writes it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if value is None or isinstance(value, bool | np.bool_):
        return "none" if value is None else str(value).lower()
    return number_text(value) if _is_number(value) else str(value)


def number_text(value: float) -> str:
    """Return all digits of a number in its shortest readable form: 0.0003, 1e-5, 512, 2e6."""
    brief, full = f"{value:.3g}", f"{value:.10g}"
    text = brief if abs(value) >= 1e5 and float(brief) == value else full
    return re.sub(r"e\+?(-?)0*", r"e\1", text)


def ticks_of(low: float, high: float, count: int, whole: bool = False) -> dict[float, str]:
    """Return round numbers from `low` to `high`, with their labels.

    Args:
        low: the least number.
        high: the greatest number.
        count: the most intervals between them.
        whole: whole numbers only.
    """
    found = MaxNLocator(count, integer=whole, steps=[1, 2, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    kept = [float(tick) for tick in found if low - slack <= tick <= high + slack]
    return {tick: _text(0 if abs(tick) < slack else tick) for tick in kept}


def _log_ticks(low: float, high: float) -> dict[float, str]:
    """Return the fewest round numbers that show the scale, with logarithms from `low` to `high`."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for digits in (1,), (1, 3), (1, 2, 5):
        ticks = {math.log10(digit * 10.0**k): f"{digit}e{k}" for k in decades for digit in digits}
        ticks = {position: text for position, text in ticks.items() if low <= position <= high}
        if len(ticks) >= 3:
            every = math.ceil(len(ticks) / 7)
            return {p: _text(float(t)) for p, t in [*ticks.items()][::every]}
    return {math.log10(v): text for v, text in ticks_of(10**low, 10**high, 4).items() if v > 0}
