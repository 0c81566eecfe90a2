#!/usr/bin/env python3
"""Search for a better sketch classifier: learning rate, LSTM size and number, filters, dropout.

Trials train side by side; poor ones are stopped early. The same --storage-path and --name resume a
sweep where it stopped. --space, a YAML file, says which fields to search. The other options of the
model and of training are those of jobs/train_sketch.py, and hold for every trial. The last line of
the output is JSON: the best trial's metric (top-1 on the validation split), values and checkpoint,
and best.yaml, which jobs/train_sketch.py takes as its --config.
"""

from dataclasses import dataclass
from typing import Any

from rnnray import job
from rnnray.progress import say
from rnnray.sketch.sketch_config import PRESETS, Preset, SketchConfig
from rnnray.tuning.sweep_options import SweepOptions


class Options(job.PresetOptions):
    """Options of this job."""

    preset: Preset = "strong"


@dataclass(frozen=True)
class Config:
    """Options of this job, in groups."""

    sketch: SketchConfig
    sweep: SweepOptions
    options: Options


def main(config: Config) -> dict[str, Any]:
    """Do the job."""
    from rnnray import cluster
    from rnnray.sketch import sketch_tuning
    from rnnray.sketch.data.datasets import open_drawings
    from rnnray.tuning import best, space

    sketch, sweep = config.sketch, config.sweep
    cluster.connect(verbose=config.options.verbose, dashboard=sweep.needs_dashboard())
    searched = space.read(sweep.space, sketch_tuning.SPACE, sketch)
    say(f"reading {sketch.data}")
    drawings = open_drawings(
        sketch.data,
        recognized_only=sketch.recognized_only,
        y_up=sketch.y_up,
        split=sketch.split,
    )
    problem = sketch_tuning.problem(sketch, drawings)
    found = best.find(
        problem,
        searched,
        sweep,
        changeable=sketch_tuning.CHANGEABLE,
        data=problem.drawings.identity,
    )
    return found | {"passed_over": drawings.say_passed_over()}


if __name__ == "__main__":
    job.run(main, Config, description=__doc__, presets=PRESETS)
