"""Results of a sweep: the best configuration and checkpoint, all reports, plots."""

import io
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from ray.tune import ResultGrid

from rnnray import storage
from rnnray.errors import UserError
from rnnray.progress import say
from rnnray.training.training_options import TrainingConfig
from rnnray.tuning import sweep_plots, wide_trial
from rnnray.tuning.space import Choice, Range, Space, with_values
from rnnray.tuning.sweep_report import epochs_of, status_of, table
from rnnray.tuning.sweep_report import shown as shown_values
from rnnray.tuning.trial_curve import Score, TrialCurve
from rnnray.tuning.wide_trial import CHECKPOINT

_BEST_ROWS = 10


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep that ended."""

    curve: TrialCurve
    """Name, values, scores and status."""
    reports: list[dict[str, Any]]
    """Values and metrics at each report."""
    checkpoint: str | None
    """Path or URI of the best checkpoint."""


def collect(grid: ResultGrid, score: Score, epochs: int) -> list[Trial]:
    """Return the trials of a sweep, in the order in which they were drawn.

    Args:
        grid: Ray Tune's results.
        score: see `rnnray.tuning.trial_curve.Score`.
        epochs: epochs of a whole trial, if they are not searched.
    """
    trials = []
    for result in grid:
        reports = [] if result.metrics_dataframe is None else _records(result.metrics_dataframe)
        scores = [report.get(score[0], math.nan) for report in reports]
        name, values = Path(result.path).name, result.config["values"]
        whole = epochs_of(values, epochs)
        status = "failed" if result.error else status_of(reports[-1] if reports else {}, whole)
        at = [report["epoch"] for report in reports]
        trials.append(
            Trial(
                TrialCurve(name, values, scores, status, at),
                reports,
                _best_checkpoint(result, reports, score),
            )
        )
    return sorted(trials, key=lambda trial: trial.curve.name)


def _best_checkpoint(result: Any, reports: list[dict[str, Any]], score: Score) -> str | None:
    """Return the path or URI of a trial's best checkpoint."""
    # a trial of several workers, whose checkpoints Ray Train keeps, not Tune
    if CHECKPOINT in result.metrics:
        sign = 1 if score[1] == "min" else -1
        finite = [report for report in reports if math.isfinite(report[score[0]])]
        for report in sorted(finite, key=lambda report: sign * report[score[0]]):
            name = str(report[CHECKPOINT]).rstrip("/").rpartition("/")[2]
            checkpoint = storage.join(result.path, wide_trial.RUN, name)
            if not storage.is_empty(checkpoint):  # of equally good checkpoints Ray Train keeps one
                return checkpoint
        return None
    if not reports or result.error or not result.best_checkpoints:
        return None
    best = result.get_best_checkpoint(*score)
    return None if best is None else storage.join(result.path, Path(best.path).name)


def publish(
    trials: Sequence[Trial], space: Space, config: TrainingConfig, score: Score, folder: str
) -> dict[str, Any]:
    """Write best.yaml, trials.parquet and the plots into the sweep's folder.

    Args:
        trials: trials as from `collect`.
        space: the search space.
        config: the configuration that the trials vary.
        score: see `rnnray.tuning.trial_curve.Score`.
        folder: path or URI of the sweep's folder.

    Returns:
        The best trial's name, score, values and checkpoint, and the paths of the files.

    Raises:
        UserError: no trial has a score, or the storage refuses a file.
    """
    metric, direction = score
    sign = 1 if direction == "min" else -1

    def rank(trial: Trial) -> float:
        return min((sign * s for s in trial.curve.scores if math.isfinite(s)), default=math.inf)

    ranked = sorted(trials, key=rank)
    if not ranked or rank(ranked[0]) == math.inf:
        raise UserError(f"{folder}: no trial reported a {metric}; the lines above say why")
    best = ranked[0]
    say(f"the best of {len(trials)} trials:")
    rows = [
        {
            "trial": trial.curve.name,
            "status": trial.curve.status,
            "epochs": str(len(trial.reports)),
            metric: f"{sign * rank(trial):.4f}",
            **shown_values(trial.curve.values),
        }
        for trial in ranked[:_BEST_ROWS]
    ]
    for line in table(rows):
        say(f"    {line}")
    chosen = with_values(config, best.curve.values).model_dump(mode="json")
    best_file = storage.join(folder, "best.yaml")
    storage.write_bytes(best_file, yaml.safe_dump(chosen, sort_keys=False).encode())
    reports_file = storage.join(folder, "trials.parquet")
    storage.write_bytes(reports_file, _parquet(trials))
    _draw(trials, space, score, storage.join(folder, "pictures"))
    return {
        "best_trial": best.curve.name,
        metric: sign * rank(best),
        "values": dict(best.curve.values),
        "checkpoint": best.checkpoint,
        "best": best_file,
        "reports": reports_file,
        "pictures": storage.join(folder, "pictures"),
        "trials": len(trials),
        **{
            status: sum(trial.curve.status == status for trial in trials)
            for status in ("finished", "stopped", "diverged", "failed")
        },
    }


def _parquet(trials: Sequence[Trial]) -> bytes:
    """Return a row for each report of each trial: trial, status, values at that time, metrics."""
    rows = [
        {"trial": trial.curve.name, "status": trial.curve.status} | report
        for trial in trials
        for report in trial.reports
    ]
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), content)
    return content.getvalue()


def _draw(trials: Sequence[Trial], space: Space, score: Score, folder: str) -> None:
    curves = [trial.curve for trial in trials]
    score = score[0].replace("_", " "), score[1]
    fields: dict[str, Any] = {
        "log": {name for name, spec in space.items() if isinstance(spec, Range) and spec.log},
        "choices": {name for name, spec in space.items() if isinstance(spec, Choice)},
    }
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        sweep_plots.score_curves(here / "score_curves.png", curves, score)
        sweep_plots.score_against_fields(here / "score_against_fields.png", curves, score, **fields)
        sweep_plots.parallel_coordinates(here / "parallel_coordinates.png", curves, score, **fields)
        storage.copy_folder(here, folder)


def _records(frame: Any) -> list[dict[str, Any]]:
    """Return the last report of each epoch of a trial, without the columns that Ray Tune adds."""
    ours = {
        name: name.partition("/")[2]
        for prefix in ("values/", "metrics/")
        for name in frame
        if name.startswith(prefix)
    }
    ours |= {name: name for name in frame if name == CHECKPOINT}
    if "epoch" not in ours.values():
        return []
    frame = frame[list(ours)].rename(columns=ours)
    frame = frame.drop_duplicates("epoch", keep="last").sort_values("epoch")
    records: list[dict[str, Any]] = frame.to_dict("records")
    return records
