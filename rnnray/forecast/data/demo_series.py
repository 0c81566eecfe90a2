"""Daily series that the project generates itself: weeks, years, trends and holidays."""

from datetime import date

import numpy as np

from rnnray.forecast.data.series_table import Values, to_day

FIRST_DAY = to_day(date(2020, 1, 1))
DAYS = 1461  # four years
_HOLIDAYS = ((1, 1), (5, 1), (8, 15), (11, 1), (12, 24), (12, 25), (12, 26), (12, 31))
_YEAR = 365.25


def series(number: int, *, seed: int = 0) -> tuple[str, int, Values]:
    """Return the name, first day and values of a series of the endless sequence of a seed.

    A series depends only on the seed and its number, so tasks can each make a part of the sequence.
    """
    random = np.random.default_rng((seed, number))
    day = np.arange(DAYS)
    level = 10 ** random.uniform(1, 5)
    # Workdays alike, the weekend lower or higher.
    week = 1 + 0.08 * random.normal(size=7)
    week[[5, 6]] *= random.uniform(0.35, 1.5) * np.array([1, random.uniform(0.6, 1.1)])
    phase, second = random.uniform(0, 2 * np.pi, 2)
    strength = random.uniform(0.05, 0.3)
    year = strength * np.sin(2 * np.pi * day / _YEAR + phase)
    year += strength / 3 * np.sin(4 * np.pi * day / _YEAR + second)
    trend = random.normal(0, 0.1) * day / _YEAR
    noise = np.zeros(DAYS)
    shocks = random.normal(0, random.uniform(0.02, 0.06), DAYS)
    for index in range(1, DAYS):
        noise[index] = 0.7 * noise[index - 1] + shocks[index]
    values = level * np.exp(trend + year + noise) * week[(FIRST_DAY + day + 3) % 7]
    values[_holidays()] *= random.uniform(0.3, 1.3)
    return f"demo-{number:05d}", FIRST_DAY, values.round(2)


def _holidays() -> list[int]:
    dates = (date(year, *each) for year in range(2020, 2024) for each in _HOLIDAYS)
    return [to_day(each) - FIRST_DAY for each in dates]
