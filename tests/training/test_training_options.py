"""--workers: a number, or as many as there is room for."""

import pytest

from rnnray.errors import UserError
from rnnray.job import JobOptions, WrongUse
from rnnray.training.training_options import RunName, RunOptions


class Options(JobOptions, RunOptions):
    """As those of a job: refused in one line."""

    name: RunName = "toy"


@pytest.mark.parametrize(
    ("given", "expected"), [(2, (2, 2)), ("3", (3, 3)), ("1:2", (1, 2)), ("2:2", (2, 2))]
)
def test_a_number_or_a_range_of_workers_is_understood(
    given: int | str, expected: tuple[int, int]
) -> None:
    assert Options(workers=given).worker_range() == expected


@pytest.mark.parametrize("nonsense", ["2:1", "0:2", "x", "1:", ":2", "1:2:3", "-1", "1.5", 0, "²"])
def test_nonsense_is_refused_in_one_line_that_names_it(nonsense: int | str) -> None:
    with pytest.raises(WrongUse, match="MIN") as caught:
        Options(workers=nonsense)
    assert isinstance(caught.value, UserError)
    assert str(caught.value).startswith(f"--workers {nonsense}: ")


def test_the_default_is_one_worker() -> None:
    assert Options().worker_range() == (1, 1)
