"""Pictures of a sweep are looked into before they are saved."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from test_plot_style import assert_all_text_inside, keep_figures, pixels

from rnnray.plot_style import MUTED, VERMILION
from rnnray.tuning import sweep_plots
from rnnray.tuning.trial_curve import Status, TrialCurve

NAN = math.nan
NATS = ("nats per note", "min")
UNUSED = Path("unused")
KEYS = {"log": {"optimizer.learning_rate"}, "choices": {"model.lstm_units"}}
RATE = "optimizer.learning_rate"


def trial(
    name: str, scores: list[float], status: Status = "finished", **values: object
) -> TrialCurve:
    return TrialCurve(name, values or {"dropout": len(name) / 10}, scores, status)


def sweep(count: int) -> list[TrialCurve]:
    """Trials as a search by ASHA leaves them, of every status, over fields of every kind."""
    rng = np.random.default_rng(7)
    kinds: list[Status] = ["finished", "stopped", "diverged", "failed", "running"]
    trials = []
    for i in range(count):
        status = kinds[i % 5]
        length = {"finished": 9, "failed": i % 2}.get(status, 1 + i % 4)
        scores = (0.6 + rng.random() + 1 / np.arange(1, length + 1)).tolist()
        values = {
            RATE: float(10 ** rng.uniform(-4, -2)),
            "model.dilated_layers": int(rng.integers(1, 9)),
            "model.lstm_units": int(rng.choice([64, 128, 256, 512])),
            "model.dropout": float(rng.uniform(0, 0.5)),
            "data.dropout": 0.25,
            "model.filters": [(32,), (48, 64, 96), (64, 128, 256, 512)][i % 3],
            "model.bidirectional": i % 2 == 0,
            "optimizer.clip_norm": [None, 5.0][i % 2],
            "data.source": f"kind_of_source_{i % 9}",
            "steps": 1_000_000 * int(rng.integers(1, 9)),
        }
        scores += [1e6, NAN] if status == "diverged" else []
        trials.append(TrialCurve(f"chorale_{i:05d}", values, scores, status))
    return trials


def colored(lines: list[Line2D], color: str) -> list[Line2D]:
    return [line for line in lines if line.get_color() == color and line.get_linestyle() != "None"]


def marks(lines: list[Line2D], shape: str) -> list[tuple[float, float]]:
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in lines
        if line.get_marker() == shape and line.get_linestyle() == "None"
    ]


def points(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata(), float).tolist()


# --- all three ---


def test_three_pictures_of_a_sweep_are_whole_files_in_a_new_folder(tmp_path: Path) -> None:
    folder, trials = tmp_path / "new", [trial("a", [0.7, 0.6]), trial("bc", [0.5], "stopped")]
    sweep_plots.score_curves(folder / "curves.png", trials, NATS)
    sweep_plots.score_against_fields(folder / "fields.png", trials, NATS)
    sweep_plots.parallel_coordinates(folder / "parallel.png", trials, NATS)
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["curves.png", "fields.png", "parallel.png"]
    for file in files:
        pixels(file)


@pytest.mark.parametrize(
    "trials",
    [
        pytest.param(sweep(100), id="100 trials over 10 fields"),
        pytest.param([trial("only", [0.7], learning_rate=3e-4)], id="one trial"),
        pytest.param([trial("empty", []), trial("nan", [NAN, math.inf])], id="no scores at all"),
        pytest.param([trial("a_long_name" * 20, [0.5, 0.5]), trial("b", [0.5])], id="all equal"),
    ],
)
def test_text_of_extreme_sweeps_stays_inside_the_pictures(
    drawn: list[Figure], trials: list[TrialCurve]
) -> None:
    sweep_plots.score_curves(UNUSED, trials, NATS)
    sweep_plots.score_against_fields(UNUSED, trials, NATS, **KEYS)
    sweep_plots.parallel_coordinates(UNUSED, trials, NATS, **KEYS)
    for figure in drawn:
        assert_all_text_inside(figure)


def test_a_sweep_without_trials_or_fields_is_told_from_an_empty_picture() -> None:
    with pytest.raises(ValueError, match="no trials"):
        sweep_plots.score_curves(UNUSED, [], NATS)
    for draw in sweep_plots.score_against_fields, sweep_plots.parallel_coordinates:
        with pytest.raises(ValueError, match="no trials"):
            draw(UNUSED, [], NATS)
        with pytest.raises(ValueError, match="no searched fields"):
            draw(UNUSED, [TrialCurve("a", {}, [1.0], "finished")], NATS)


# --- curves ---


@pytest.mark.parametrize(("direction", "name", "epoch"), [("min", "low", 2), ("max", "high", 1)])
def test_best_trial_is_named_starred_at_its_best_epoch_and_on_top(
    drawn: list[Figure], direction: Any, name: str, epoch: int
) -> None:
    trials = [trial("low", [0.6, 0.4, 0.5]), trial("high", [0.9, 0.8]), trial("mid", [0.7])]
    sweep_plots.score_curves(UNUSED, trials, ("share", direction))
    axes = drawn[0].axes[0]
    best = next(t for t in trials if t.name == name)
    (line,) = colored(axes.lines, VERMILION)
    assert points(line) == best.scores
    assert line is [k for k in axes.lines if k.get_linestyle() != "None"][-1]
    assert marks(axes.lines, "*") == [(epoch, best.scores[epoch - 1])]
    assert f"by {name}" in axes.get_title(loc="left")
    assert axes.get_ylabel() == f"share ({'lower' if direction == 'min' else 'higher'} is better)"


def test_marks_tell_how_each_trial_ended_and_the_legend_counts_them(drawn: list[Figure]) -> None:
    trials = [
        trial("done", [0.9, 0.5, 0.6]),
        trial("stopped", [0.8, 0.7], "stopped"),
        trial("diverged", [0.75, NAN], "diverged"),
        trial("failed", [0.65], "failed"),
        trial("early", [], "failed"),
        trial("running", [0.85, 0.55], "running"),
    ]
    sweep_plots.score_curves(UNUSED, trials, NATS)
    axes = drawn[0].axes[0]
    assert sorted(marks(axes.lines, "o")) == [(2, 0.7), (3, 0.6)]
    assert marks(axes.lines, "x") == [(1, 0.75)]
    assert marks(axes.lines, "s") == [(1, 0.65)]
    assert marks(axes.lines, ">") == [(2, 0.55)]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [
        "best trial", "finished (1)", "stopped early (1)", "running (1)", "diverged (1)",
        "failed (2)",
    ]  # fmt: skip
    assert "without a metric: 1" in axes.get_title(loc="left")


def test_epochs_without_a_score_are_gaps_and_lone_scores_are_seen(drawn: list[Figure]) -> None:
    trials = [trial("gaps", [0.9, NAN, 0.8, math.inf, 0.7, 0.6]), trial("best", [0.5, 0.4])]
    sweep_plots.score_curves(UNUSED, trials, NATS)
    (line,) = colored(drawn[0].axes[0].lines, MUTED)
    np.testing.assert_equal(points(line), [0.9, NAN, 0.8, NAN, 0.7, 0.6])
    assert line.get_marker() == "."
    assert line.get_markevery() == [0, 2]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_of_a_million_does_not_flatten_all_others(drawn: list[Figure], sign: int) -> None:
    good = [trial(f"good{i}", [sign * (1 - i / 20)] * 5) for i in range(8)]
    wild = trial("wild", [sign * 0.9, sign * 1e6], "diverged")
    sweep_plots.score_curves(UNUSED, [*good, wild], ("score", "min" if sign == 1 else "max"))
    axes = drawn[0].axes[0]
    low, high = axes.get_ylim()
    assert high - low < 1
    assert "metrics beyond the axis: 1 (to " in axes.get_title(loc="left")
    ((_, height),) = marks(axes.lines, "x")
    assert low < height < high
    assert abs(height) > 1, "it looks like a score of the others"


# --- fields ---


def test_each_field_has_a_panel_with_its_own_kind_of_axis(drawn: list[Figure]) -> None:
    sweep_plots.score_against_fields(UNUSED, sweep(60), NATS, **KEYS)
    panels = {axes.get_xlabel(): axes for axes in drawn[0].axes}
    assert list(panels) == [
        "learning rate", "dilated layers", "lstm units", "model dropout", "data dropout",
        "filters", "bidirectional", "clip norm", "source", "steps",
    ]  # fmt: skip
    labels = {
        name: [text.get_text().replace("\n", " ") for text in axes.get_xticklabels()]
        for name, axes in panels.items()
    }
    assert labels["learning rate"] == ["0.0003", "0.001", "0.003"]
    steps = np.diff(panels["learning rate"].get_xticks())
    assert steps[0] == pytest.approx(steps[1], rel=0.15), "not logarithmic"
    assert labels["dilated layers"] == list("12345678")
    assert labels["lstm units"] == ["64", "128", "256", "512"]
    np.testing.assert_allclose(panels["lstm units"].get_xticks(), [1 / 8, 3 / 8, 5 / 8, 7 / 8])
    assert labels["filters"] == ["32", "48, 64, 96", "64, 128, 256, 512"]
    assert labels["bidirectional"] == ["false", "true"]
    assert labels["clip norm"] == ["5", "none"]
    assert labels["steps"][0] == "1e6"


def test_best_is_starred_stopped_are_hollow_and_those_without_a_score_lie_below(
    drawn: list[Figure],
) -> None:
    trials = [
        trial("a", [0.9, 0.5, 0.6], x=0.0),
        trial("b", [0.7], "stopped", x=0.5),
        trial("c", [0.6, 0.65], x=1.0),
        trial("d", [], "failed", x=0.25),
    ]
    sweep_plots.score_against_fields(UNUSED, trials, NATS)
    axes = drawn[0].axes[0]
    assert marks(axes.lines, "*") == [(0, 0.5)]
    circles = {line.get_xdata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    assert {x: line.get_ydata()[0] for x, line in circles.items()} == {0.5: 0.7, 1.0: 0.6}
    assert circles[0.5].get_markerfacecolor() == "white"
    assert circles[1.0].get_markerfacecolor() != "white"
    ((x, height),) = marks(axes.lines, "s")
    assert x == 0.25
    assert axes.get_ylim()[0] < height < 0.5
    assert "no metric" in [text.get_text() for text in axes.get_yticklabels()]


@settings(max_examples=8)
@given(st.lists(st.sampled_from([1, 2, 5]), min_size=20, max_size=40))
def test_trials_that_share_a_value_stand_nearer_to_it_than_to_another(values: list[int]) -> None:
    trials = [trial(str(i), [float(i)], n=value) for i, value in enumerate(values)]
    with pytest.MonkeyPatch.context() as patch:
        figures = keep_figures(patch)
        sweep_plots.score_against_fields(UNUSED, trials, NATS)
    axes = figures[0].axes[0]
    low, high = min(values), max(values)
    for line in axes.lines:
        x, score = line.get_xdata()[0], int(line.get_ydata()[0])
        expected = 0.5 if low == high else (values[score] - low) / (high - low)
        assert abs(x - expected) < 0.125
    assert len({line.get_xdata()[0] for line in axes.lines}) == len(trials), "they hide each other"


# --- parallel coordinates ---


def test_lines_pass_each_axis_at_their_value_and_end_at_their_score(drawn: list[Figure]) -> None:
    trials = [
        trial("a", [0.5], rate=1e-4, units=512, on=True),
        trial("b", [0.7], rate=1e-3, units=64, on=False),
        trial("c", [0.9], rate=1e-2, units=128, on=True),
    ]
    sweep_plots.parallel_coordinates(UNUSED, trials, NATS, log={"rate"}, choices={"units"})
    lines = drawn[0].axes[0].lines
    np.testing.assert_allclose(points(lines[0])[:2], [1, 3 / 6])
    np.testing.assert_allclose(points(lines[1])[:2], [0.5, 1 / 6])
    np.testing.assert_allclose(points(lines[2])[:2], [0, 5 / 6])
    np.testing.assert_allclose([points(line)[2] for line in lines], [0.75, 0.25, 0.75], atol=0.02)
    assert points(lines[2])[2] > points(lines[0])[2], "equal values hide each other"
    np.testing.assert_allclose([points(line)[3] for line in lines], [1, 0.5, 0])


@pytest.mark.parametrize("direction", ["min", "max"])
def test_better_trials_are_darker_and_on_top_and_the_best_stands_out(
    drawn: list[Figure], direction: Any
) -> None:
    scores = [0.4, NAN, 0.1, 0.3, 0.9, 0.6, 0.2, 0.5]
    trials = [trial(str(i), [score], x=i / 10) for i, score in enumerate(scores)]
    sweep_plots.parallel_coordinates(UNUSED, trials, ("share", direction))
    lines = drawn[0].axes[0].lines
    ranked = sorted(filter(math.isfinite, scores), reverse=direction == "min")
    shown = [line.get_xydata()[0, 1] for line in lines]
    assert [scores[round(7 * position)] for position in shown[1:]] == ranked
    assert lines[0].get_color() == MUTED
    assert points(lines[0])[-1] < 0
    assert lines[-1].get_color() == VERMILION
    light = [np.dot(to_rgb(line.get_color()), [0.2126, 0.7152, 0.0722]) for line in lines[1:-1]]
    assert (np.diff(light) < -0.01).all()
    assert light[0] < 0.75, "lost on white"
