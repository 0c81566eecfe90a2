"""A sweep from what a job asks to best.yaml: what the jobs of both models share."""

from collections.abc import Container, Mapping
from typing import Any

from rnnray import storage
from rnnray.training.training_options import TrainingConfig
from rnnray.tuning import results, space, sweep
from rnnray.tuning.sweep_options import SweepOptions
from rnnray.tuning.trial import Problem
from rnnray.yaml_file import read_file


def read_space(file: str | None, default: Mapping[str, Any], config: TrainingConfig) -> space.Space:
    """Return the search space of a YAML file, or the default one, checked.

    Args:
        file: path of the YAML file; None for the default space.
        default: the default space, as YAML would have it.
        config: configuration whose fields are searched.

    Raises:
        UserError: see `rnnray.tuning.space.parse`, or the file cannot be read.
    """
    values = default if file is None else read_file(file)
    return space.parse(values, config, file or "the default space")


def find(
    problem: Problem,
    searched: space.Space,
    options: SweepOptions,
    *,
    changeable: Container[str],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Run a sweep, or go on with it, and write what it found into its folder.

    Args:
        problem: what is searched.
        searched: as from `read_space`.
        options: how to search.
        changeable: see `rnnray.tuning.sweep.run`.
        data: likewise.

    Returns:
        What `rnnray.tuning.results.publish` returns.

    Raises:
        UserError: see `rnnray.tuning.sweep.run` and `rnnray.tuning.results.publish`.
    """
    grid = sweep.run(problem, searched, options, changeable=changeable, data=data)
    config = problem.config
    score = sweep.score_of(problem.task(config), options.metric)
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    return results.publish(
        results.collect(grid, score, config.epochs), searched, config, score, folder
    )
