#!/usr/bin/env python3
"""Search for a better sketch classifier: learning rate, LSTM size and number, filters, dropout.

Trials train side by side, poor ones are stopped early. The same --storage-path and --name go on
where a sweep stopped. What is searched is --space, a YAML file; all other options are those of
jobs/train_sketch.py, and hold for every trial. The last line of the output is JSON: the best
trial's score (top-1 on the validation split), values and checkpoint, and best.yaml, which
jobs/train_sketch.py takes as its --config.
"""

from typing import Any, Literal

from rnnray import job, storage
from rnnray.progress import say
from rnnray.sketch import tuning
from rnnray.sketch.config import PRESETS, SketchConfig
from rnnray.sketch.datasets import open_drawings
from rnnray.tuning import results, space, sweep
from rnnray.tuning.options import SweepOptions


class Options(job.JobOptions, SweepOptions, SketchConfig):
    """Options of this job."""

    preset: Literal["strong", "notebook"] = "strong"
    """Where the other defaults come from: strong, which we recommend, or notebook, the book's."""
    config: str | None = None
    """YAML file with values of these options; wins over the preset, the command line over it."""

    def needs_dashboard(self) -> bool:
        """Ray frees the workers of a trial that is stopped early by asking its dashboard."""
        return self.workers_per_trial > 1


def work(options: Options) -> dict[str, Any]:
    """Do the job."""
    config = job.part_of(options, SketchConfig)
    searched = space.parse(
        tuning.SPACE if options.space is None else job.read_yaml(options.space),
        config,
        options.space or "the default space",
    )
    say(f"reading {config.data}")
    drawings = open_drawings(
        config.data, recognized_only=config.recognized_only, split=config.split
    )
    problem = tuning.problem(config, drawings)
    sweep_options = job.part_of(options, SweepOptions)
    grid = sweep.run(
        problem,
        searched,
        sweep_options,
        changeable=tuning.CHANGEABLE,
        data=problem.drawings.identity,
    )
    score = sweep.score_of(problem.task(config), options.metric)
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    found = results.collect(grid, score, config.epochs)
    return results.publish(found, searched, config, score, folder) | {
        "passed_over": drawings.say_passed_over()
    }


if __name__ == "__main__":
    job.run(Options, work, description=__doc__, presets=PRESETS)
