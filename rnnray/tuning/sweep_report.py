"""A sweep's log for people: a line for each event, and a table once a minute at most."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune.experiment import Trial
from ray.tune.logger import JsonLoggerCallback

from rnnray.progress import Every, say
from rnnray.tuning.trial import DIVERGED
from rnnray.tuning.trial_curve import Score, Status

_TABLE_SECONDS = 60.0
_TABLE_ROWS = 12


class SweepReport(ray.tune.Callback):  # type: ignore[misc]
    """Prints the events of the trials. Ray Tune pickles it, to go on with it after a crash."""

    def __init__(self, score: Score, epochs: int, samples: int) -> None:
        self._score, self._direction = score
        self._epochs, self._samples = epochs, samples
        self._best: dict[str, float] = {}
        # Not `trial.last_result`, which Ray Tune updates only after it has called us.
        self._last: dict[str, dict[str, float]] = {}
        self._table = Every(_TABLE_SECONDS)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Print the values of a new trial."""
        say(f"{trial} starts: {described(trial.config['values'])}")

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Print the progress of a trial."""
        self._remember([trial])
        metrics = result["metrics"]
        score = metrics[self._score]
        self._last[trial.trial_id] = metrics
        pick = min if self._direction == "min" else max
        if math.isfinite(score):
            self._best[trial.trial_id] = pick(self._best.get(trial.trial_id, score), score)
        say(
            f"{trial} epoch {metrics['epoch']:.3g}/{self._epochs}  loss {metrics['loss']:.4f}  "
            f"{self._score} {score:.4f}"
        )
        if self._table():
            self._say_table(trials)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Print the reason of a trial's end."""
        epochs = epochs_of(trial.config["values"], self._epochs)
        say(f"{trial} {status_of(self._last.get(trial.trial_id, {}), epochs)}")

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Print that a trial died and goes on."""
        say(f"{trial} died; it resumes from its last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Print that a trial died more than `max_failures` times."""
        say(f"{trial} failed; the sweep continues without it")

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        """Print the last table."""
        self._say_table(trials)

    def _remember(self, trials: Sequence[Trial]) -> None:
        """Take over the reports of trials from before the sweep was resumed."""
        for trial in trials:
            metrics = trial.last_result.get("metrics")
            if metrics and trial.trial_id not in self._last:
                self._last[trial.trial_id] = metrics
                best = trial.metric_analysis[self._score][self._direction]
                if math.isfinite(best):
                    self._best[trial.trial_id] = best

    def _say_table(self, trials: Sequence[Trial]) -> None:
        self._remember(trials)
        ranked = sorted(
            (trial for trial in trials if trial.trial_id in self._best),
            key=lambda trial: self._best[trial.trial_id],
            reverse=self._direction == "max",
        )
        if not ranked:
            return
        count = sum(trial.is_finished() for trial in trials)
        say(f"{count} of {self._samples} trials ended; the best so far:")
        rows = [
            {
                "trial": str(trial),
                "status": trial.status.lower(),
                "epoch": f"{self._last[trial.trial_id]['epoch']:.3g}",
                self._score: f"{self._best[trial.trial_id]:.4f}",
                **{name: f"{value}" for name, value in shown(trial.config["values"]).items()},
            }
            for trial in ranked[:_TABLE_ROWS]
        ]
        for line in table(rows):
            say(f"    {line}")


class Reports(JsonLoggerCallback):  # type: ignore[misc]
    """The file of each trial's reports.

    When a trial starts again, Ray Tune's own class fetches the file back from the storage. That
    copy may lack the last reports, as when pbt moves the trial that reported last.
    """

    def _restore_from_remote(self, file_name: str, trial: Trial) -> None:
        if not (Path(trial.local_path) / file_name).exists():
            super()._restore_from_remote(file_name, trial)


def status_of(metrics: Mapping[str, Any], epochs: int) -> Status:
    """Return the status of a trial that did not fail: finished, stopped early, or diverged."""
    if metrics.get(DIVERGED):
        return "diverged"
    return "finished" if metrics.get("epoch") == epochs else "stopped"


def epochs_of(values: Mapping[str, Any], epochs: int) -> int:
    """Return the epochs of a whole trial, which may be searched too."""
    return int(values.get("epochs", epochs))


def shown(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of fields for people: the last part of the field's path, few digits."""
    return {
        name.rpartition(".")[2]: f"{value:.3g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }


def described(values: Mapping[str, Any]) -> str:
    """Return the values of fields as one line."""
    return ", ".join(f"{name} {value}" for name, value in shown(values).items())


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return lines with aligned columns, the header first."""
    lines = [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
