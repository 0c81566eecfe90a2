"""What jobs/benchmark.py compose measures."""

import pytest

from rnnray.benchmarks import composing_speed, matrix_limit


@pytest.mark.usefixtures("not_compiled")
def test_each_way_to_compose_has_its_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As little as gives numbers that differ.
    for name in ("_GIVEN", "_BOOK_CHORDS", "_RUNS"):
        monkeypatch.setattr(composing_speed, name, 1)
    monkeypatch.setattr(composing_speed, "_BATCHES", (1, 64))
    monkeypatch.setattr(matrix_limit, "_SIZE", 512)
    rates = composing_speed.compose(2)
    assert list(rates) == ["book", "model_call", "batch_1", "batch_64", "strong_64"]
    assert min(rates.values()) > 0
    # Many at once are faster than one: by dozens, but the machine is shared.
    assert rates["batch_64"] > 4 * rates["batch_1"]
    said = capsys.readouterr().out
    assert "times" in said
    assert "% of the multiply-adds of a large matrix product" in said
    assert "one chorale of 2 chords" in said


def test_a_rate_is_that_of_the_best_run_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    seconds = iter([1.0, 4.0, 2.0, 8.0])  # the first run, which compiles, counts in no case

    def work() -> int:
        clock[0] += next(seconds)
        return 40

    monkeypatch.setattr(composing_speed.time, "monotonic", lambda: clock[0])
    assert composing_speed._rate("fake", work) == 20.0
